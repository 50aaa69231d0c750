"""Where the loop leaves events, and a thread that takes them from there."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from runtime.node.events.counter import EventCounter
from runtime.node.events.event import Event
from runtime.node.stage import POLL, Beat, Stage

DEPTH = 500
"""Events that wait in memory: 20 s of 25 in a second, for a memory card that stalls."""

OVERFLOW = "overflow"


class EventQueue:
    """Gives events to `handle` in a thread, all that have come since the last call together.

    Attributes:
        stage: its thread.

    Args:
        name: of the thread.
        handle: gets them, and accounts for all of them, even if it raises.
        counter: counts what comes, and what is pushed out by newer ones.
    """

    def __init__(
        self, name: str, handle: Callable[[list[Event]], None], counter: EventCounter
    ) -> None:
        self._handle, self._counter = handle, counter
        self._waiting: deque[Event] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self.stage = Stage(name, self._run)
        self.stage.start()

    def put(self, event: Event) -> None:
        """Leave an event; the oldest goes if there are too many. Nothing is taken after `close`."""
        self._counter.published()
        with self._changed:
            if self._closed:
                self._counter.dropped("closed", 1)
                return
            if len(self._waiting) == DEPTH:
                self._waiting.popleft()
                self._counter.dropped(OVERFLOW, 1)
            self._waiting.append(event)
            self._changed.notify()

    def close(self, timeout: float) -> bool:
        """Have what is there handled, for as long as `timeout` seconds; whether that was enough."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self.stage.stop()
        return self.stage.join(timeout)

    def _run(self, beat: Beat) -> None:
        while True:
            beat()
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed, POLL)
                events = list(self._waiting)
                self._waiting.clear()
                closed = self._closed
            if events:
                self._handle(events)
            elif closed:
                return
