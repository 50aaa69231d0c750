"""The entry of the command line: streams that take every name, and what is said of a defect."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from typer.core import TyperGroup

from denet.console import say_error
from denet.secrets import redacted

DEFECT = 70
"""Exit code of a program that is at fault itself: `EX_SOFTWARE` of sysexits.h."""


class EntryGroup(TyperGroup):
    """The commands of a program."""

    def main(self, *args: Any, **options: Any) -> Any:
        """As of click; nothing that a command runs into ends it without a word."""
        with steady_streams():
            try:
                return super().main(*args, **options)
            except Exception:
                sys.stderr.write(redacted(traceback.format_exc()))
                say_error(
                    "this is a defect of denet, not of what it was given: please report it, with "
                    "the lines above"
                )
                sys.exit(DEFECT)


@contextmanager
def steady_streams() -> Iterator[None]:
    """Standard streams that are there, take any text, and tell when they could not be written."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # closed: the next file that is opened would become the output
            os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        # It cannot where a program that is no command put something else there.
        with suppress(AttributeError, OSError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        yield
    finally:
        _flush()


def _flush() -> None:
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        # What is left would fail again when Python ends, and be told there.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
        if error.errno != errno.EPIPE:
            say_error(f"standard output: cannot be written: {error.strerror}")
            sys.exit(2)
