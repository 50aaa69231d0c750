"""Events to a file, one in JSON a line; older files are kept up to a number."""

from __future__ import annotations

from pathlib import Path

from runtime.node.events.counter import EventCounter
from runtime.node.events.encoding import encode
from runtime.node.events.errors import EventError
from runtime.node.events.event import Event
from runtime.node.events.event_file import EventFile
from runtime.node.events.event_queue import EventQueue
from runtime.node.events.settings import LinesSettings
from runtime.node.events.sink import Counters
from runtime.node.notify import Notify
from runtime.node.stage import Stage


class LinesSink:
    """A `sink.Sink` to a file.

    Lines are whole whatever happens: one that the disk took only half of is taken back. They are
    the system's when written, so they survive the end of this process; nothing is synced, so a
    loss of power may take the last half minute.

    Args:
        settings: which file.
        notify: told when it cannot be written any more, and when it can again.

    Raises:
        EventError: it cannot be written, or holds something else.
    """

    def __init__(self, settings: LinesSettings, notify: Notify) -> None:
        self._path = Path(settings.path)
        self._notify = notify
        self._counter = EventCounter("lines")
        self._lost = 0
        try:
            self._file = EventFile(settings)
        except OSError as error:
            raise EventError(
                f"{self._path}: cannot be written: {error.strerror or error}"
            ) from None
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
        if self._queue.close(timeout):
            self._file.close()

    def _write(self, events: list[Event]) -> None:
        defect: Exception | None = None
        for event in events:
            try:
                line = encode(event) + b"\n"
            except EventError as error:
                self._counter.dropped(str(error), 1)
                continue
            try:
                self._file.append(line)
            except (EventError, OSError) as error:
                reason = getattr(error, "strerror", None) or str(error)
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
