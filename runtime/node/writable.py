"""Whether files and folders take what will be written to them; found out without a change."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from denet.reading import open_regular
from runtime.node.errors import NodeError
from runtime.node.events import EventSettings
from runtime.node.events.letters import APPLICATION
from runtime.sqlite_header import LENGTH, MAGIC, is_of

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


def check_outbox(path: Path) -> None:
    """See that a file is an outbox, or that one can be made there; only the file's header is read.

    Raises:
        NodeError: it is another thing, or cannot be written.
    """
    try:
        if not path.exists():
            return
        with open_regular(path) as file:
            header = file.read(LENGTH)
        os.close(os.open(path, os.O_RDWR))
        logged = path.with_name(f"{path.name}-wal").exists()  # which may have the header's marks
    except OSError as error:
        raise NodeError(f"{path}: cannot be written: {error.strerror or error}") from None
    known = is_of(header, APPLICATION) or (logged and header.startswith(MAGIC))
    if header and not known:
        raise NodeError(f"{path}: is not an outbox: name another file, or move it away")


def _files(events: EventSettings) -> Iterator[Path]:
    if events.lines is not None:
        yield Path(events.lines.path)
    if events.mqtt is not None:
        yield Path(events.mqtt.outbox)
