"""Whether people come from one camera to another, and in what time, by which pairs look alike.

Of all pairs of a track of the one camera with a track of the other, some look alike: by chance as
often after any time, and more often after the times that people take. The interval that stands out
most is found by a scan statistic of Bernoulli trials (Kulldorff, "A spatial scan statistic", 1997),
and how rarely chance alone would make one stand out so by drawing which pairs look alike anew, to
whose maxima a Gumbel distribution is fitted (Abrams, Kulldorff and Kleinman, "Gumbel based p-value
approximations for spatial scan statistics", 2010). How often strangers look alike need not be
known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 499

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Cluster:
    """The interval that stands out most.

    Attributes:
        first, last: its bins, both in it.
        alike: pairs in it that look alike.
        chance: that would look alike by chance, as often as the others.
        p: how rarely chance would make any interval stand out so.
    """

    first: int
    last: int
    alike: int
    chance: float
    p: float


def scan(pairs: Counts, alike: Counts, other: tuple[int, int], seed: int = 0) -> Cluster | None:
    """The interval of bins in which pairs look alike most beyond chance.

    Args:
        pairs: (B,) how many there are after each time.
        alike: (B,) how many of them look alike.
        other: the same of pairs that are in no bin, as of the other order.
        seed: of the draws.

    Returns:
        None if nothing looks alike, or everything does.
    """
    whole = np.append(pairs, other[0])
    hits = np.append(alike, other[1])
    found = int(hits.sum())
    if not 0 < found < whole.sum() or not alike.sum():
        return None
    ratios = _ratios(whole, hits[None])[0]
    first, last = np.unravel_index(int(ratios.argmax()), ratios.shape)
    most = float(ratios.max())
    chance = np.random.default_rng(seed)
    drawn = chance.multivariate_hypergeometric(whole, found, size=DRAWS, method="marginals")
    maxima = _ratios(whole, drawn).max(axis=(1, 2))
    beta = max(float(maxima.std()) * 6**0.5 / np.pi, 1e-9)
    mode = float(maxima.mean()) - np.euler_gamma * beta
    p = float(-np.expm1(-np.exp(-(most - mode) / beta)))
    inside = slice(int(first), int(last) + 1)
    count, here = int(alike[inside].sum()), int(pairs[inside].sum())
    outside = (found - count) / max(1, int(whole.sum()) - here)
    return Cluster(int(first), int(last), count, here * outside, p)


def _ratios(whole: Counts, hits: Counts) -> NDArray[np.float64]:
    """(D, B, B) log likelihood ratios of each interval from a first bin to a last one, where its
    share is above that of the others; 0 elsewhere."""
    bins = len(whole) - 1
    upto = np.concatenate([[0], np.cumsum(whole[:bins])])
    hit = np.concatenate(
        [np.zeros((len(hits), 1), np.int64), np.cumsum(hits[:, :bins], axis=1)], axis=1
    )
    here = (upto[None, 1:] - upto[:-1, None]).astype(float)  # first, last
    alike = (hit[:, None, 1:] - hit[:, :-1, None]).astype(float)
    total, found = float(whole.sum()), float(hits[0].sum())
    out, missed = total - here, found - alike
    with np.errstate(divide="ignore", invalid="ignore"):
        higher = alike / here > missed / out
        value = (
            _entropy(alike, here)
            + _entropy(missed, out)
            - _entropy(np.array(found), np.array(total))
        )
    valid = np.triu(np.ones((bins, bins), bool)) & (here > 0)
    return np.where(valid & higher, value, 0.0)


def _entropy(hits: NDArray[np.float64], trials: NDArray[np.float64]) -> NDArray[np.float64]:
    """The greatest log likelihood of so many hits."""
    return _xlogx(hits) + _xlogx(trials - hits) - _xlogx(trials)


def _xlogx(x: NDArray[np.float64]) -> NDArray[np.float64]:
    safe = np.maximum(x, 0.0)
    return safe * np.log(np.maximum(safe, 1.0))
