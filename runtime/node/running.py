"""Runs a node as a program: signals, a snapshot each second, systemd."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from runtime.node.memory import give_back
from runtime.node.node import Node
from runtime.node.snapshot import NodeSnapshot
from runtime.node.watchdog import notify_systemd

TICK = 1.0
"""Seconds between two snapshots."""

TIDYING = 60.0
"""Seconds after which memory that is not in use is given back."""


class Signals:
    """What signals ask of a node. Once to stop is to finish first, twice is at once.

    Attributes:
        stops: how often it was asked to stop.
        changed: set by each signal.
    """

    def __init__(self) -> None:
        self.stops = 0
        self.reload = False
        self.changed = threading.Event()

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Take SIGINT, SIGTERM and SIGHUP; in the main thread."""
        numbers = [signal.SIGINT, signal.SIGTERM]
        if hasattr(signal, "SIGHUP"):
            numbers.append(signal.SIGHUP)
        before = {number: signal.signal(number, self._arrive) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _arrive(self, number: int, _frame: FrameType | None) -> None:
        if number in (signal.SIGINT, signal.SIGTERM):
            self.stops += 1
        else:
            self.reload = True
        self.changed.set()


def run_node(
    node: Node,
    notify: Callable[[NodeSnapshot], None],
    *,
    seconds: float | None = None,
    signals: Signals | None = None,
) -> NodeSnapshot:
    """Run a node to its end.

    Args:
        node: not started yet.
        notify: told of the node each second.
        seconds: after which it is stopped.
        signals: that are caught by the caller; its own by default.

    Returns:
        What the node was doing at the end.
    """
    asked = signals or Signals()
    node.start()
    notify_systemd("READY=1")
    try:
        _until_the_end(node, notify, asked, seconds)
    except BaseException:  # such as of output that nobody reads any more
        node.stop(now=True)
        node.close()
        raise
    return node.close()


def _until_the_end(
    node: Node, notify: Callable[[NodeSnapshot], None], asked: Signals, seconds: float | None
) -> None:
    began = time.monotonic()
    end = None if seconds is None else began + seconds
    stopping: float | None = None  # since when
    due = began + TICK
    tidying = began + TIDYING
    while not node.wait(0.0):
        now = time.monotonic()
        if now >= due:
            snapshot = node.snapshot()
            notify(snapshot)
            if not snapshot.stuck:
                notify_systemd("WATCHDOG=1")
            due = max(due + TICK, now)
        if now >= tidying:
            give_back()
            tidying = now + TIDYING
        if asked.reload:
            asked.reload = False
            node.reload()
        if stopping is None and (asked.stops or (end is not None and now >= end)):
            stopping = now
            notify_systemd("STOPPING=1")
            node.stop()
        if asked.stops > 1 or (stopping is not None and now > stopping + node.settings.drain):
            node.stop(now=True)
            return
        asked.changed.wait(min(0.1, max(due - now, 0.0)))
        asked.changed.clear()
