"""Two sides measured in turn that may have threads of their own."""

from __future__ import annotations

import time

from runtime.benchmark.stats import Ratio, ratio
from runtime.benchmark.turns import Side, timed, warm_up

PAUSE = 0.05
"""Seconds in which the threads of a side stop spinning."""

WAKING, COUNTED = 3, 3
"""Runs of a side in its turn."""


def apart(one: Side, other: Side, rounds: int) -> Ratio:
    """The times of `one` by those of `other`, of at least `rounds` runs each.

    Threads that have just computed spin for a while, and would slow the other side. So sides take
    turns of several runs: a pause in which the other's threads go to sleep, runs that wake its own
    and fill the caches, and those that count.
    """
    for side in (one, other):
        warm_up(side)
    times: tuple[list[float], list[float]] = [], []
    for turn in range(-(-rounds // COUNTED)):
        for place in (0, 1) if turn % 2 else (1, 0):
            side = (one, other)[place]
            time.sleep(PAUSE)
            for _ in range(WAKING):
                side()
            times[place].extend(timed(side) for _ in range(COUNTED))
    return ratio(*times)
