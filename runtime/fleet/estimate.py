"""How many different people a number of tracks shows, from which pairs of them look alike.

A track of somebody with n tracks among N looks like x of the others: binomial of n - 1 with the
probability t that a pair of one person is recognized, and Poisson for the M strangers that it is
compared with, of whom each looks alike with probability f at most. With a share p_n of the tracks
that are of people with n tracks, x has the distribution

    P(x) = sum over n of p_n Binomial(n - 1, t) * Poisson(f M) at x,

and there are D = N * (sum over n of p_n / n) people. The p_n are those of the greatest likelihood,
by expectation maximization (a mixture whose parts are known). Nothing is assumed of how often
people come back.

The interval is by parametric bootstrap: people as estimated, pairs drawn anew, estimated again;
what comes out beside what went in says how far off the estimate may be, and in which direction. It
is taken twice, with strangers at the rate f and at none, for f is an upper bound; its ends are the
outer ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ROUNDS = 200
"""Of the bootstrap."""

LEVEL = 0.95

STEPS = 300
"""Of expectation maximization."""

LARGEST = 60
"""Tracks of one person, at most: who has more is counted as some people."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """How many people there were.

    Attributes:
        people: the likeliest.
        low, high: of the interval of confidence at `LEVEL`.
    """

    people: float
    low: float
    high: float


@dataclass(frozen=True)
class Alike:
    """Which of N tracks look alike.

    Attributes:
        pairs: (E, 2) of their numbers.
        compared: (N,) with how many others each was compared.
        found: probability that a pair of one person looks alike; above 0.
        rate: probability that a pair of strangers does, at most.
    """

    pairs: NDArray[np.int64]
    compared: NDArray[np.int64]
    found: float
    rate: float


def estimate_people(alike: Alike, seed: int = 0) -> Estimate:
    """How many different people tracks show.

    Args:
        alike: which look alike.
        seed: of the bootstrap.
    """
    count = len(alike.compared)
    if count == 0:
        return Estimate(0.0, 0.0, 0.0)
    degrees = np.bincount(alike.pairs.reshape(-1), minlength=count)
    strangers = float(alike.compared.mean())
    largest = min(count, LARGEST, 3 + int(2 * int(degrees.max()) / alike.found))
    chance = np.random.default_rng(seed)
    best, ends = [], []
    for mean in (0.0, alike.rate * strangers):
        (shares,) = _shares([degrees], largest, alike.found, mean)
        people = _people(shares, count)
        drawn = _drawn(shares, count, alike.found, mean, chance)
        again = [_people(each, count) for each in _shares(drawn, largest, alike.found, mean)]
        low, high = np.quantile(again, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        best.append(people)
        ends.append((2 * people - high, 2 * people - low))
    middle = float(np.mean(best))
    return Estimate(
        people=middle,
        low=max(1.0, min(middle, *(low for low, _ in ends))),
        high=min(float(count), max(middle, *(high for _, high in ends))),
    )


def _people(shares: Floats, count: int) -> float:
    """D of the shares of tracks that are of people with 1, 2, ... tracks."""
    return float(count * np.sum(shares / np.arange(1, len(shares) + 1)))


def _shares(
    rounds: Sequence[NDArray[np.int64]], largest: int, found: float, strangers: float
) -> Floats:
    """p_1, p_2, ... of the greatest likelihood, for each of several draws: (rounds, largest)."""
    size = 1 + max(int(degrees.max()) for degrees in rounds)
    counts = np.stack([np.bincount(degrees, minlength=size) for degrees in rounds])
    counts = counts / counts.sum(axis=1, keepdims=True)
    parts = _parts(size, largest, found, strangers)
    shares = np.full((len(rounds), largest), 1 / largest)
    for _ in range(STEPS):
        shares *= (counts / np.maximum(shares @ parts.T, 1e-300)) @ parts
        shares /= shares.sum(axis=1, keepdims=True)
    return shares


def _parts(degrees: int, largest: int, found: float, strangers: float) -> Floats:
    """(degrees, largest) the probability of each x for each n."""
    binomial = np.zeros((largest, max(largest, degrees)))
    binomial[0, 0] = 1
    for n in range(1, largest):  # one more of the same person
        binomial[n] = binomial[n - 1] * (1 - found)
        binomial[n, 1:] += binomial[n - 1, :-1] * found
    poisson = np.exp(-strangers) * np.cumprod([1.0, *(strangers / np.arange(1, degrees))])
    return np.stack([np.convolve(row[:degrees], poisson)[:degrees] for row in binomial], axis=1)


def _drawn(
    shares: Floats, count: int, found: float, strangers: float, chance: np.random.Generator
) -> list[NDArray[np.int64]]:
    """With how many each track looks alike, of people as estimated, `ROUNDS` times."""
    sizes = np.arange(1, len(shares) + 1)
    wanted = shares * count / sizes
    rounds = []
    for _ in range(ROUNDS):
        # So many people of each size, a part of one by chance.
        whole = np.floor(wanted + chance.random(len(wanted))).astype(np.int64)
        tracks = np.repeat(sizes, whole)
        starts = np.cumsum(tracks) - tracks
        one, other = _pairs_within(tracks, starts)
        hit = chance.random(len(one)) < found
        total = int(tracks.sum())
        degrees = np.bincount(np.concatenate([one[hit], other[hit]]), minlength=total)
        rounds.append(degrees + chance.poisson(strangers, total))
    return rounds


def _pairs_within(
    tracks: NDArray[np.int64], starts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All pairs of tracks of one person."""
    ones, others = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for size in np.unique(tracks[tracks > 1]):
        first, second = np.triu_indices(size, 1)
        base = starts[tracks == size][:, None]
        ones.append((base + first).reshape(-1))
        others.append((base + second).reshape(-1))
    return np.concatenate(ones), np.concatenate(others)
