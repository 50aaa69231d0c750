"""The file that events are written to, a line each; older files are kept up to a number.

A file that is there is continued only if it holds events: what another program wrote is neither
changed nor renamed.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from contextlib import suppress
from pathlib import Path

import msgspec

from denet.temporary import followed
from runtime.node.events.errors import EventError
from runtime.node.events.event import EVENT_KINDS
from runtime.node.events.settings import LinesSettings

BLOCK = 1 << 16

LINE_LIMIT = 16 << 20
"""Bytes that a line may have; an event has some kilobytes."""

BEGINNING = (b'{"id":"', b'","node":"', b'","time":')
"""What a line begins with, but for the texts between."""


class _Line(msgspec.Struct):
    """What every event has."""

    id: str
    node: str
    time: float
    kind: str


class EventFile:
    """A file of lines to append to, and the older ones beside it. Not to be used by two threads.

    Args:
        settings: which file.

    Raises:
        EventError: it or an older one holds something else.
        OSError: it cannot be opened or made.
    """

    def __init__(self, settings: LinesSettings) -> None:
        self._settings = settings
        self._path = _checked(settings)
        self._file = _opened(self._path)
        with suppress(OSError):  # of a node that was killed as it changed files
            if not self._fresh.stat().st_size:
                self._fresh.unlink()

    def append(self, line: bytes) -> None:
        """Write a line, all of it or nothing; to a new file where this one would be too long.

        Raises:
            EventError: an older file, or one that came to the place of this one, is no events.
            OSError: there is no room, or nobody may write.
        """
        if not self._is_in_place():  # somebody removed or moved it
            self._exchange(_opened(self._path))
        size = os.fstat(self._file).st_size
        if size and size + len(line) > self._settings.max_bytes:
            self._rotate()
            size = 0
        try:
            written = os.write(self._file, line)
            while written < len(line):
                written += os.write(self._file, line[written:])
        except OSError:
            os.ftruncate(self._file, size)
            raise

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _is_in_place(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._file), self._path.stat())
        except FileNotFoundError:
            return False

    @property
    def _fresh(self) -> Path:
        return self._path.with_name(f".{self._path.name}.new")

    def _rotate(self) -> None:
        _check_older(self._path, self._settings.keep)
        # The new file comes first: where there is no room for it, the old ones stay as they are.
        file = _opened(self._fresh)
        try:
            for number in sorted(_older_numbers(self._path), reverse=True):
                if number < self._settings.keep:
                    _older(self._path, number).replace(_older(self._path, number + 1))
            self._path.replace(_older(self._path, 1))
            self._fresh.replace(self._path)
        except BaseException:
            os.close(file)
            raise
        self._exchange(file)

    def _exchange(self, file: int) -> None:
        os.close(self._file)
        self._file = file


def check_event_file(settings: LinesSettings) -> None:
    """See that events can be appended to the file that is set; nothing changes, and none is made.

    Raises:
        EventError: it or an older one holds something else, or it cannot be written.
    """
    path = Path(settings.path)
    try:
        path = _checked(settings)
        if path.exists():
            # For writing, so that a file that cannot be written is found.
            os.close(os.open(path, os.O_RDWR | os.O_APPEND))
        elif not os.access(path.parent, os.W_OK | os.X_OK):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise EventError(f"{path}: cannot be written: {error.strerror or error}") from None


def _checked(settings: LinesSettings) -> Path:
    """Where events go, seen to be theirs; a link is followed, so that it stays one."""
    path = followed(Path(settings.path))
    _check_events(path)
    _check_older(path, settings.keep)
    return path


def _check_older(path: Path, keep: int) -> None:
    for number in _older_numbers(path):
        if number <= keep:
            _check_events(_older(path, number))
    _check_events(path.with_name(f".{path.name}.new"))


def _older_numbers(path: Path) -> list[int]:
    """Of the older files that are there."""
    ends = (found.name.removeprefix(f"{path.name}.") for found in path.parent.iterdir())
    return [int(end) for end in ends if re.fullmatch(r"[1-9][0-9]{0,8}", end)]


def _older(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def _check_events(path: Path) -> None:
    """See that a file is one of events, or empty, or not there."""
    try:
        file = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        return
    try:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(os.fstat(file).st_mode) or not _holds_events(file):
            raise EventError(
                f"{path}: is there and holds no events, so nothing is written to it: name another "
                "file, or move it away"
            )
    finally:
        os.close(file)


def _holds_events(file: int) -> bool:
    """Whether the first line is an event; where there is only one and its end was lost, whether it
    begins as one."""
    head = os.pread(file, BLOCK, 0)
    if b"\n" not in head:
        head = os.pread(file, LINE_LIMIT, 0)
    line, end, _ = head.partition(b"\n")
    if not end:
        return _begins_as_event(line)
    try:
        return msgspec.json.decode(line, type=_Line).kind in EVENT_KINDS
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def _begins_as_event(line: bytes) -> bool:
    """Whether what came of a line before the power went is of an event."""
    for literal in BEGINNING:
        if len(line) <= len(literal):
            return literal.startswith(line)
        if not line.startswith(literal):
            return False
        line = line[len(literal) :]
        line = line[line.index(b'"') :] if b'"' in line else b""
    return True


def _opened(path: Path) -> int:
    """A file of events to append to, only for its owner; embeddings of people are personal data. A
    last line that a loss of power cut goes.

    Raises:
        EventError: it holds something else.
        OSError: it cannot be opened or made.
    """
    _check_events(path)
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        with suppress(OSError):  # a file system without modes, or a file of another user
            os.fchmod(file, 0o600)
        whole = _whole_lines(file)
        if whole < os.fstat(file).st_size:
            os.ftruncate(file, whole)
    except OSError:
        os.close(file)
        raise
    return file


def _whole_lines(file: int) -> int:
    """Bytes of a file up to the end of its last whole line."""
    end = os.fstat(file).st_size
    while end:
        start = max(0, end - BLOCK)
        found = os.pread(file, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
