"""What times say: percentiles, spread, ratios pair by pair, and when a warm-up is over.

Pure functions of numbers; nothing here measures. Nothing is clipped: a percentile is a time that
was measured, and the greatest one is always told.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Literal

import msgspec

NOISY = 0.10
"""The spread from which on a time is too noisy to quote."""

NOISY_RATIO = 0.05
"""The width of a ratio's interval from which on an interval around 1 says nothing."""

LEVEL = 0.95
"""Of the intervals of ratios."""

WINDOW = 5
"""Runs whose median a warm-up compares with that of the next ones."""

TOLERANCE = 0.03
"""How far apart, as a share, two such medians may be when a warm-up is over."""

Verdict = Literal["slower", "faster", "the same", "too noisy to say"]


class Timing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Times of one thing that was run often, in milliseconds.

    Attributes:
        runs: how many times were taken; all of them count.
        mean: their mean.
        p50: the 50th percentile by nearest rank, a time that occurred; and so are the next two.
        p90: the 90th.
        p99: the 99th; with fewer than 100 runs it is `max`.
        max: the greatest.
        low: the least median of a stretch of runs.
        high: the greatest median of a stretch.
        spread: (high - low) / p50: by how much this machine drifted while it was measured.
    """

    runs: int
    mean: float
    p50: float
    p90: float
    p99: float
    max: float
    low: float
    high: float
    spread: float

    @property
    def noisy(self) -> bool:
        """Whether it is too noisy to quote."""
        return self.spread > NOISY


class Ratio(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many times as long one thing takes as another, of runs in turn.

    Attributes:
        median: of the ratios pair by pair.
        low: where its 95 % interval begins (`sign_interval`).
        high: where it ends.
        pairs: how many.
        verdict: what that says of the first thing.
    """

    median: float
    low: float
    high: float
    pairs: int
    verdict: Verdict


class Repeated(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that was measured a few times: the median, the least and the greatest value."""

    median: float
    low: float
    high: float


def percentile(values: Sequence[float], share: float) -> float:
    """The least of `values` that is not below `share` of them (nearest rank).

    Args:
        values: at least one, in any order.
        share: in (0, 1].
    """
    rank = math.ceil(share * len(values) - 1e-9)
    return sorted(values)[max(rank, 1) - 1]


def timing(stretches: Sequence[Sequence[float]]) -> Timing:
    """The statistics of times in seconds.

    Args:
        stretches: the times of each stretch of runs, in the order in which they were taken; at
            least one, none empty.
    """
    every = [1e3 * t for stretch in stretches for t in stretch]
    medians = [1e3 * statistics.median(stretch) for stretch in stretches]
    middle = percentile(every, 0.50)
    return Timing(
        runs=len(every),
        mean=statistics.fmean(every),
        p50=middle,
        p90=percentile(every, 0.90),
        p99=percentile(every, 0.99),
        max=max(every),
        low=min(medians),
        high=max(medians),
        spread=(max(medians) - min(medians)) / middle if middle else 0.0,
    )


def repeated(values: Sequence[float]) -> Repeated:
    """The statistics of at least one value."""
    return Repeated(median=statistics.median(values), low=min(values), high=max(values))


def throughput(times: Timing, samples: int) -> float:
    """Samples in a second, where each run takes `samples`: from the mean, so the tail counts."""
    return 1e3 * samples / times.mean if times.mean else 0.0


def sign_interval(values: Sequence[float], level: float = LEVEL) -> tuple[float, float]:
    """An interval that holds the true median with a probability of at least `level`.

    Whatever the distribution: of n values, those above the median are as the heads of n coins.
    So the interval goes from the k-th least to the k-th greatest value, with the largest k for
    which a tail of the binomial distribution is at most half of what may be missed. With fewer
    than six values there is none for 95 %, and it goes from the least to the greatest.

    Args:
        values: at least one.
        level: the probability.
    """
    n = len(values)
    ordered = sorted(values)
    tail, k = 0.0, 0
    while k < n // 2:
        tail += math.comb(n, k) / 2**n  # P(at most k heads)
        if tail > (1 - level) / 2:
            break
        k += 1
    k = max(k, 1)
    return ordered[k - 1], ordered[n - k]


def ratio(side: Sequence[float], against: Sequence[float]) -> Ratio:
    """How many times as long `side` takes as `against`.

    Args:
        side: times of runs in turn with those of `against`; at least one.
        against: as many, none zero.
    """
    each = [a / b for a, b in zip(side, against, strict=True)]
    low, high = sign_interval(each)
    verdict: Verdict
    if low > 1:
        verdict = "slower"
    elif high < 1:
        verdict = "faster"
    else:
        verdict = "too noisy to say" if high - low > NOISY_RATIO else "the same"
    return Ratio(
        median=statistics.median(each), low=low, high=high, pairs=len(each), verdict=verdict
    )


def settled(times: Sequence[float], window: int = WINDOW, tolerance: float = TOLERANCE) -> bool:
    """Whether a warm-up is over: the medians of its last two windows agree.

    Args:
        times: of all runs so far.
        window: runs in a window.
        tolerance: the difference that counts as agreement, as a share of the smaller median.
    """
    if len(times) < 2 * window:
        return False
    a = statistics.median(times[-2 * window : -window])
    b = statistics.median(times[-window:])
    return abs(a - b) <= tolerance * min(a, b)


def joined(stretches: Sequence[Sequence[float]]) -> list[float]:
    """The times of all stretches in the order in which they were taken."""
    return [t for stretch in stretches for t in stretch]
