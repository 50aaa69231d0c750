"""Whether a folder takes what will be written into it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from runtime.node.errors import NodeError
from runtime.node.events import EventSettings

SIZE = 1 << 16
"""Bytes that must find room: some events."""


def check_writable(events: EventSettings) -> None:
    """See that events can be written where they shall be, by writing there.

    Raises:
        NodeError: a folder is not there, is read-only or full; names it.
    """
    for path in _files(events):
        folder = path.absolute().parent
        if not folder.is_dir():
            raise NodeError(f"{path}: its folder does not exist: make it first")
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(b"\0" * SIZE)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise NodeError(f"{folder}: cannot be written: {error.strerror or error}") from None


def _files(events: EventSettings) -> Iterator[Path]:
    if events.lines is not None:
        yield Path(events.lines.path)
    if events.mqtt is not None:
        yield Path(events.mqtt.outbox)
