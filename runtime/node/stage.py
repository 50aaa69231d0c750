"""A stage of the node: a thread with a pulse, whose failure is never silent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from denet.secrets import redacted
from runtime.node.backoff import Backoff

POLL = 0.25
"""Seconds that a stage waits at most before it shows that it lives."""

STEADY = 5.0
"""Seconds for which work that was begun again must hold to count as progress."""

Beat = Callable[[], None]
"""Shows that the work goes on."""


class Stage:
    """Runs `body` in a thread, and keeps what ends it for the watchdog to tell.

    Attributes:
        name: for messages; of one that lives as long as the node, its own.
        head: the name of whose it is; "" if all of the node needs it.
        patience: seconds that it may rest beside what the watchdog allows to any stage.
        failures: how often an error ended its work, also before it was made anew.
        failure: the last such error, for a person; "" before the first.

    Args:
        name: see above.
        body: the work; shows by its argument that it goes on, and returns when it is done.
        failed: told what ended the work, if that was an error: the stage is over then. None for
            work that can be begun again: it is, after waits that double, until it returns.
        patience: see above.
        clock: seconds.
    """

    def __init__(
        self,
        name: str,
        body: Callable[[Beat], None],
        failed: Callable[[str, BaseException], None] | None = None,
        *,
        patience: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.patience = name, patience
        self.failures, self.failure, self.head = 0, "", ""
        self._body, self._failed, self._clock = body, failed, clock
        self._backoff = Backoff()
        self._stopped = threading.Event()
        self._over = False
        self._beaten = self._trusted = clock()
        self._thread = threading.Thread(target=self._run, name=f"denet-{name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._beaten = self._clock()
        self._thread.start()

    def stop(self) -> None:
        """Begin failed work at most once more, and at once. The body is told to end by others."""
        self._stopped.set()

    def join(self, timeout: float) -> bool:
        """Wait until it has ended, at most `timeout` seconds; whether it has, or never began."""
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def note(self, error: BaseException) -> None:
        """Count a failure of the work that did not end it."""
        self.failure = redacted(f"{type(error).__name__}: {error}")
        self.failures += 1

    @property
    def idle(self) -> float:
        """Seconds since it last went on; 0 if it has not begun or is over. One whose thread is
        gone without that goes on no more, and neither does one whose work fails at once, again
        and again."""
        begun = self._thread.ident is not None
        return self._clock() - self._beaten if begun and not self._over else 0.0

    def _beat(self) -> None:
        now = self._clock()
        if now >= self._trusted:
            self._beaten = now

    def _run(self) -> None:
        while True:
            began = self._clock()
            try:
                self._body(self._beat)
                break
            except BaseException as error:  # whatever it is, a thread that died unseen is worse
                self.note(error)
                if self._failed is not None:
                    self._failed(self.name, error)
                    break
                if self._stopped.is_set():
                    break
            if self._clock() - began >= STEADY:
                self._backoff.reset()
            self._stopped.wait(self._backoff.next())
            self._trusted = self._clock() + STEADY
        self._over = True
