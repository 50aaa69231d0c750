"""Lines for a person, written by a thread of its own."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from runtime.node.stage import Beat, Stage

DEPTH = 1000
"""Lines that wait at most: a terminal may stand still."""


class LinePrinter:
    """Takes lines from any thread and never keeps one waiting; the oldest go if they are too many.
    A line that cannot be written is lost, and the next is tried.

    Args:
        write: shows a line, and may block.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._lines: deque[str] = deque(maxlen=DEPTH)
        self._changed = threading.Condition()
        self._closed = False
        self._stage = Stage("printer", self._run)
        self._stage.start()

    def __call__(self, line: str) -> None:
        """Take a line."""
        with self._changed:
            self._lines.append(line)
            self._changed.notify()

    def close(self, timeout: float = 1.0) -> None:
        """Write what is left, for as long as `timeout` seconds."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._stage.stop()
        self._stage.join(timeout)

    def _run(self, _beat: Beat) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines or self._closed)
                if not self._lines:
                    return
                line = self._lines.popleft()
            self._write(line)
