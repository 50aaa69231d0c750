"""Where the loop leaves events, and a thread that takes them from there."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from runtime.node.events.counter import EventCounter
from runtime.node.events.event import Event

DEPTH = 500
"""Events that wait in memory: 20 s of 25 in a second, for a memory card that stalls."""

OVERFLOW = "overflow"


class EventQueue:
    """Gives events to `handle` in a thread, all that have come since the last call together.

    Args:
        name: of the thread.
        handle: gets them; must not raise.
        counter: counts what comes, and what is pushed out by newer ones.
    """

    def __init__(
        self, name: str, handle: Callable[[list[Event]], None], counter: EventCounter
    ) -> None:
        self._handle, self._counter = handle, counter
        self._waiting: deque[Event] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

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
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                events = list(self._waiting)
                self._waiting.clear()
            if not events:
                return
            self._handle(events)
