"""An end for what hangs."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class HangError(Exception):
    """Something takes too long."""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Ends what is within after so long, by a signal: in the main thread alone.

    Raises:
        HangError: it takes longer.
    """

    def hangs(*_: object) -> None:
        raise HangError(f"takes more than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
