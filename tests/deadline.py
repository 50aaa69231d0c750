"""An end for what hangs."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TASKS = Path("/proc/self/task")


class HangError(Exception):
    """Something takes too long."""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Ends what is within after so long, by a signal: in the main thread alone. The time in which a
    thread could have run and had no core does not count: others may be using the machine.

    Raises:
        HangError: it takes longer.
    """
    began, starved = time.monotonic(), starved_for()

    def hangs(*_: object) -> None:
        left = seconds - (time.monotonic() - began) + (starved_for() - starved)
        if left <= 0:
            raise HangError(f"takes more than {seconds:g} s")
        signal.setitimer(signal.ITIMER_REAL, max(left, 0.01))

    before = signal.signal(signal.SIGALRM, hangs)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def starved_for() -> float:
    """Seconds that the threads of this process have waited for a core, where Linux counts them."""
    total = 0.0
    with suppress(OSError):
        for task in TASKS.iterdir():
            with suppress(OSError, IndexError, ValueError):  # a thread that ends
                total += int((task / "schedstat").read_text().split()[1]) / 1e9
    return total
