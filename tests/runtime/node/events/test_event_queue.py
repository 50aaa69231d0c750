"""What waits in memory."""

from __future__ import annotations

import threading
from pathlib import Path

from runtime.node.events import (
    Event,
)
from runtime.node.events import event_queue as queue_module
from runtime.node.events.counter import EventCounter
from runtime.node.events.event_queue import DEPTH, EventQueue
from tests.runtime.node.events.parts import event


def test_the_oldest_events_go_first_and_nobody_waits(tmp_path: Path) -> None:
    counter = EventCounter("test")
    handled: list[Event] = []
    begun, go = threading.Event(), threading.Event()

    def handle(events: list[Event]) -> None:
        begun.set()
        go.wait(10)
        handled.extend(events)

    queue = EventQueue("test", handle, counter)
    queue.put(event(0))
    begun.wait(10)  # the disk hangs
    for number in range(1, DEPTH + 101):
        queue.put(event(number))
    go.set()
    queue.close(10)
    assert [e.time for e in handled] == [0, *range(101, DEPTH + 101)]
    assert counter.snapshot().dropped == {queue_module.OVERFLOW: 100}
