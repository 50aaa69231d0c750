"""A stage of the loop: a thread with a pulse, whose failure is never silent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

POLL = 0.25
"""Seconds that a stage waits at most before it shows that it lives."""


class Stage:
    """Runs `body` in a thread.

    Args:
        name: for messages.
        body: the work; shows by `beat` that it goes on.
        failed: told what ended it, if that was an error.
        clock: seconds.
    """

    def __init__(
        self,
        name: str,
        body: Callable[[Callable[[], None]], None],
        failed: Callable[[str, Exception], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._body, self._failed, self._clock = body, failed, clock
        self._beaten = clock()
        self._thread = threading.Thread(target=self._run, name=f"denet-{name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._beaten = self._clock()
        self._thread.start()

    def join(self, timeout: float) -> bool:
        """Wait until it has ended, at most `timeout` seconds; whether it has, or never began."""
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def idle(self) -> float:
        """Seconds since it last went on; 0 if it is over."""
        return self._clock() - self._beaten if self._thread.is_alive() else 0.0

    def _beat(self) -> None:
        self._beaten = self._clock()

    def _run(self) -> None:
        try:
            self._body(self._beat)
        except Exception as error:  # a thread that died unseen would leave the node deaf
            self._failed(self.name, error)
