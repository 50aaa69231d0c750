"""Events to a file, one in JSON a line; older files are kept up to a number."""

from __future__ import annotations

import os
from pathlib import Path

from runtime.node.events.counter import EventCounter
from runtime.node.events.encoding import encode
from runtime.node.events.errors import EventError
from runtime.node.events.event import Event
from runtime.node.events.event_queue import EventQueue
from runtime.node.events.settings import LinesSettings
from runtime.node.events.sink import Counters
from runtime.node.notify import Notify
from runtime.node.stage import Stage

BLOCK = 1 << 16


class LinesSink:
    """A `sink.Sink` to a file.

    Lines are whole whatever happens: one that the disk took only half of is taken back. They are
    the system's when written, so they survive the end of this process; nothing is synced, so a
    loss of power may take the last half minute.

    Args:
        settings: which file.
        notify: told when it cannot be written any more, and when it can again.

    Raises:
        EventError: it cannot be written.
    """

    def __init__(self, settings: LinesSettings, notify: Notify) -> None:
        self._path = Path(settings.path)
        self._settings, self._notify = settings, notify
        self._counter = EventCounter("lines")
        self._lost = 0
        try:
            self._file = _open(self._path)
        except OSError as error:
            raise EventError(f"{self._path}: cannot be written: {error.strerror}") from None
        self._counter.connected = True
        self._queue = EventQueue("events to lines", self._write, self._counter)

    def publish(self, event: Event) -> None:
        """See `sink.Sink`."""
        self._queue.put(event)

    def snapshot(self) -> list[Counters]:
        """See `sink.Sink`."""
        return [self._counter.snapshot()]

    @property
    def stages(self) -> list[Stage]:
        """See `sink.Sink`."""
        return [self._queue.stage]

    def close(self, timeout: float = 5.0) -> None:
        """See `sink.Sink`."""
        if self._queue.close(timeout) and self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _write(self, events: list[Event]) -> None:
        defect: Exception | None = None
        for event in events:
            try:
                self._write_line(encode(event) + b"\n")
            except EventError as error:
                self._counter.dropped(str(error), 1)
            except OSError as error:
                reason = error.strerror or str(error)
                self._counter.dropped(reason, 1)
                self._counter.connected = False
                if not self._lost:
                    self._notify(f"{self._path}: events are lost: {reason}")
                self._lost += 1
            except Exception as error:  # it costs this event alone, and is not hidden
                self._counter.dropped(type(error).__name__, 1)
                defect = error
            else:
                self._counter.delivered(1)
                self._counter.connected = True
                if self._lost:
                    self._notify(f"{self._path}: written again; {self._lost} events were lost")
                    self._lost = 0
        if defect is not None:
            raise defect

    def _write_line(self, line: bytes) -> None:
        if not os.fstat(self._file).st_nlink:  # somebody removed it
            self._exchange(_open(self._path))
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

    def _rotate(self) -> None:
        # The new file comes first: where there is no room for it, the old ones stay as they are.
        fresh = self._path.with_name(f".{self._path.name}.new")
        file = _open(fresh)
        for number in range(self._settings.keep - 1, 0, -1):
            older = self._older(number)
            if older.exists():
                older.replace(self._older(number + 1))
        self._path.replace(self._older(1))
        fresh.replace(self._path)
        self._exchange(file)

    def _exchange(self, file: int) -> None:
        os.close(self._file)
        self._file = file

    def _older(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


def _open(path: Path) -> int:
    """A file to append to, only for its owner; embeddings of people are personal data."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(file, _whole_lines(file))
    except OSError:
        os.close(file)
        raise
    return file


def _whole_lines(file: int) -> int:
    """Bytes of a file up to the end of its last whole line: a loss of power may cut one."""
    end = os.fstat(file).st_size
    while end:
        start = max(0, end - BLOCK)
        found = os.pread(file, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
