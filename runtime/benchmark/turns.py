"""Runs things in turn and takes their times.

A machine drifts: its clocks, its neighbours, its temperature. So what is compared runs in turn
(A B, B A, A B ...) and is judged pair by pair, and what is quoted is measured in several stretches
that are spread over the whole time, between them everything else. How far the medians of the
stretches lie apart tells how far the machine drifted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from runtime.benchmark.stats import settled

Clock = Callable[[], float]
"""Seconds from some beginning."""

Side = Callable[[], object]
"""One run of something."""

Notify = Callable[[str], None]
"""Told what is being done."""

WARM_RUNS = 60
WARM_SECONDS = 20.0
"""Where a warm-up ends although it has not settled; the second ends no window early."""

G = TypeVar("G", bound=Hashable)
S = TypeVar("S", bound=Hashable)


@dataclass(frozen=True)
class WarmUp:
    """How a warm-up went.

    Attributes:
        runs: how many it took.
        settled: whether the times had settled, or the limit was reached.
    """

    runs: int
    settled: bool


@dataclass(frozen=True)
class Turns(Generic[G, S]):
    """The times of sides that ran in turn, in seconds.

    Attributes:
        times: of each side of each group, by stretch.
        unsettled: those whose warm-up reached its limit.
    """

    times: dict[G, dict[S, list[list[float]]]]
    unsettled: tuple[tuple[G, S], ...]


def warm_up(side: Side, clock: Clock = time.perf_counter) -> WarmUp:
    """Run `side` until its times settle (`stats.settled`), or a limit is reached."""
    times: list[float] = []
    while len(times) < WARM_RUNS and sum(times) < WARM_SECONDS:
        times.append(timed(side, clock))
        if settled(times):
            return WarmUp(len(times), True)
    return WarmUp(len(times), False)


def timed(side: Side, clock: Clock = time.perf_counter) -> float:
    """Seconds of one run."""
    began = clock()
    side()
    return clock() - began


def in_turn(
    groups: Mapping[G, Mapping[S, Side]],
    *,
    stretches: int,
    runs: int,
    clock: Clock = time.perf_counter,
    notify: Notify = lambda _: None,
    warm: bool = True,
) -> Turns[G, S]:
    """Run the sides of each group in turn, group after group, in several stretches.

    In each stretch every group has its turn: each of its sides runs once and does not count, since
    other things were in the caches; then its sides run in turn, each first in one run after the
    other, and each run counts. No time is left out.

    Args:
        groups: what is compared stands in one group; at least one side in each.
        stretches: how often each group has its turn.
        runs: of each side, in a stretch.
        clock: to take times with.
        notify: told of each turn.
        warm: first warm each side up until it settles. Not for sides whose runs differ.
    """
    unsettled: list[tuple[G, S]] = []
    for group, sides in groups.items():
        for name, side in sides.items():
            if warm:
                notify(f"warming up {group}")
                if not warm_up(side, clock).settled:
                    unsettled.append((group, name))
    times: dict[G, dict[S, list[list[float]]]] = {
        group: {name: [] for name in sides} for group, sides in groups.items()
    }
    for stretch in range(stretches):
        for group, sides in groups.items():
            notify(f"{group}, stretch {stretch + 1} of {stretches}")
            names = list(sides)
            for name in names:
                sides[name]()
                times[group][name].append([])
            for run in range(runs):
                first = run % len(names)
                for name in names[first:] + names[:first]:
                    times[group][name][-1].append(timed(sides[name], clock))
    return Turns(times, tuple(unsettled))


def shared_out(rounds: int, stretches: int) -> int:
    """Runs in each of `stretches` for at least `rounds` in all."""
    return max(1, -(-rounds // stretches))
