"""In a batch: tracks are joined into identities where the evidence is greatest, until none is left.

Agglomerative clustering by the mean likelihood ratio (average linkage) and the likeliest way, under
the constraint that nobody is in two places at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runtime.fleet.identities.evidence import Evidence, total

Labels = NDArray[np.int64]


def cluster(evidence: Evidence, settled: Labels) -> Labels:
    """Which tracks are of one identity.

    Args:
        evidence: of N tracks with one another.
        settled: (N,) identities that stay as they are, one number each, and are not joined with
            each other; -1 of tracks that are free.

    Returns:
        (N,) a number for each identity: that of its first track.
    """
    labels = _first_of_each(settled)
    heads = np.unique(labels)
    group = np.searchsorted(heads, labels)
    held = settled[heads] >= 0
    looks, weights, ways, apart = _grouped(evidence, group, len(heads))
    apart |= held[:, None] & held
    np.fill_diagonal(apart, True)
    gains = total(looks, weights, ways, apart)
    best = gains.argmax(axis=1) if len(gains) else np.empty(0, np.int64)
    while len(gains):
        values = gains[np.arange(len(gains)), best]
        one = int(values.argmax())
        if values[one] <= 0:
            break
        one, other = sorted((one, int(best[one])))
        for matrix, join in ((looks, np.add), (weights, np.add), (ways, np.maximum)):
            matrix[one] = matrix[:, one] = join(matrix[one], matrix[other])
        apart[one] = apart[:, one] = apart[one] | apart[other]
        apart[other] = apart[:, other] = True
        held[one] |= held[other]
        apart[one] |= held[one] & held
        apart[:, one] = apart[one]
        labels[labels == heads[other]] = heads[one]
        gains[one] = gains[:, one] = total(looks[one], weights[one], ways[one], apart[one])
        gains[other] = gains[:, other] = -np.inf
        _renew(gains, best, one, other)
    return labels


def worth(evidence: Evidence, labels: Labels) -> float:
    """How much there is for an answer: for each identity the mean likelihood ratio of its pairs, as
    often as it has tracks beyond the first, and the ways from each track to the next.

    Args:
        evidence: of N tracks with one another.
        labels: (N,) a number for each identity.
    """
    whole = 0.0
    order = np.argsort(labels, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        if len(members) < 2:
            continue
        inner = np.ix_(members, members)
        if np.any(evidence.apart[inner] & ~np.eye(len(members), dtype=bool)):
            return -np.inf
        one, other = np.triu_indices(len(members), 1)
        weights = evidence.weights[inner][one, other]
        if weights.sum() > 0:
            mean = evidence.looks[inner][one, other].sum() / weights.sum()
            whole += (len(members) - 1) * float(mean)
        # The likeliest tree of ways: for one who goes from camera to camera it is that way.
        whole += _widest_tree(evidence.ways[inner])
    return whole


def _first_of_each(settled: Labels) -> Labels:
    labels = np.arange(len(settled))
    for number in np.unique(settled[settled >= 0]):
        mine = np.flatnonzero(settled == number)
        labels[mine] = mine[0]
    return labels


def _grouped(
    evidence: Evidence, group: NDArray[np.int64], count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Evidence between groups."""
    looks, weights = np.zeros((count, count)), np.zeros((count, count))
    ways, apart = np.full((count, count), -np.inf), np.zeros((count, count), bool)
    both = group[:, None], group
    np.add.at(looks, both, evidence.looks)
    np.add.at(weights, both, evidence.weights)
    np.maximum.at(ways, both, evidence.ways)
    np.logical_or.at(apart, both, evidence.apart)
    return looks, weights, ways, apart


def _renew(gains: NDArray[np.float64], best: NDArray[np.int64], one: int, other: int) -> None:
    """Find the best of each row again after two rows and columns have changed."""
    rows = np.arange(len(gains))
    stale = (best == one) | (best == other)
    stale[one] = True
    best[stale] = gains[stale].argmax(axis=1)
    better = gains[:, one] > gains[rows, best]
    best[better] = one


def _widest_tree(ways: NDArray[np.float64]) -> float:
    """The sum of the greatest tree that joins all (Prim), with -inf where there is none."""
    reached = np.zeros(len(ways), bool)
    reached[0] = True
    nearest = ways[0].copy()
    whole = 0.0
    for _ in range(len(ways) - 1):
        nearest[reached] = -np.inf
        following = int(nearest.argmax())
        whole += float(nearest[following])
        reached[following] = True
        nearest = np.maximum(nearest, ways[following])
    return whole
