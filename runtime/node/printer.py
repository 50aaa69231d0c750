"""Lines for a person, written by a thread of its own."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

DEPTH = 1000
"""Lines that wait at most: a terminal may stand still."""


class LinePrinter:
    """Takes lines from any thread and never keeps one waiting; the oldest go if they are too many.

    Args:
        write: shows a line, and may block.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._lines: deque[str] = deque(maxlen=DEPTH)
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="denet-printer", daemon=True)
        self._thread.start()

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
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines or self._closed)
                if not self._lines:
                    return
                line = self._lines.popleft()
            self._write(line)
