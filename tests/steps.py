"""The steps that a process takes in the file system, as Python's audit tells them, and its death
before one of them."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Collection


def die() -> None:
    """At once, as a kill or the end of the power would have it."""
    os.kill(os.getpid(), signal.SIGKILL)


class Steps:
    """Counts the steps of this process, from now to its end: a hook cannot be taken away.

    Attributes:
        seen: how many there were.

    Args:
        watched: the events of the audit that count.
        last: the step before which `act` is called, from 1; None for none.
        act: what happens then.
    """

    def __init__(
        self, watched: Collection[str], last: int | None = None, act: Callable[[], None] = die
    ) -> None:
        self.seen = 0
        self._watched, self._last, self._act = watched, last, act
        sys.addaudithook(self._hear)

    def _hear(self, event: str, _: object) -> None:
        if event in self._watched:
            self.seen += 1
            if self.seen == self._last:
                self._act()
