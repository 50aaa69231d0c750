"""What there is for and against any two tracks being of one person.

Of tracks i and j, of which i began first, the evidence is the logarithm to base 10 of

    p(looks | one person)     p(who left i's camera is seen next by j's after so many seconds)
    ---------------------  *  ----------------------------------------------------------------
    p(looks | strangers)              people who come to the camera of j, per second

The first is the likelihood ratio of the mean cosine of their sightings in each pair of states
(`runtime.gallery.likelihood`). Its logarithms are averaged by the weights of the sightings, for
these are of the same clothes and their product would count them several times, and then raised a
little with their number n, by (n_i n_j) ** 0.2: they are not quite the same. The second is the
`Topology`'s. Above 0 it is likelier that j is i again than that it is somebody new.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.fleet.identities.topology import Topology
from runtime.fleet.pooled_tracks import KeptTrack, state_means
from runtime.gallery.likelihood import LikelihoodRatios
from runtime.node.tracks.pooling import Pooled

DIFFERENT = 0.2
"""The power of the number of sightings with which the evidence of their mean grows: 0 if they were
all alike, 0.5 if each told something of its own. By `measurements/association.py`, on drawn people
of whom two to four sightings were pooled."""

TELLING = 4
"""Sightings of a track, at most, that are counted so."""

SHORTEST = 600.0
"""Seconds over which strangers are counted, at least."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Evidence:
    """Of R tracks with N tracks. The mean of `looks` by `weights` over pairs, and the greatest of
    `ways`, are those of groups of tracks.

    Attributes:
        looks: (R, N) log10 of likelihood ratios times `weights`.
        weights: (R, N) of what was compared; 0 where nothing could be.
        ways: (R, N) log10 of the odds that the later of both is the next sighting of the other, by
            time and camera alone; -inf where it cannot be.
        apart: (R, N) that they cannot be one person: they were in two places at once.
    """

    looks: Floats
    weights: Floats
    ways: Floats
    apart: NDArray[np.bool_]


def weigh(
    tracks: Sequence[KeptTrack],
    pooled: Sequence[Pooled],
    rows: Sequence[int],
    ratios: LikelihoodRatios,
    topology: Topology,
) -> Evidence:
    """What there is for and against some of the tracks being of one person with any of them.

    Args:
        tracks: N of them; from them it is counted how many strangers come to each camera.
        pooled: what is known of each, of one space.
        rows: R numbers of those that are asked about.
        ratios: by which they are compared.
        topology: with all their cameras.
    """
    chosen = np.asarray(rows, np.int64)
    looks, weights = looks_between(pooled, chosen, ratios)
    ways, apart = _ways(tracks, chosen, topology)
    return Evidence(looks, weights, ways, apart)


def total(looks: Floats, weights: Floats, ways: Floats, apart: NDArray[np.bool_]) -> Floats:
    """The evidence of tracks or of groups of them, of any shape; -inf where nothing speaks for it.

    Args:
        looks, weights, ways, apart: as of `Evidence`.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        found = looks / weights + ways
    return np.where(apart | (weights <= 0), -np.inf, found)


def looks_between(
    pooled: Sequence[Pooled], rows: NDArray[np.int64], ratios: LikelihoodRatios
) -> tuple[Floats, Floats]:
    """What looks say of some of N tracks and all of them.

    Args:
        pooled: what is known of each.
        rows: (R,) numbers of those that are asked about.
        ratios: by which they are compared.

    Returns:
        (R, N) `looks` and `weights`, as of `Evidence`.
    """
    looks = np.zeros((len(rows), len(pooled)))
    weights = np.zeros_like(looks)
    states = list(dict.fromkeys(state for each in pooled for state in each.sums))
    sides = {state: state_means(pooled, state) for state in states}
    for s, (mine, my_weight) in sides.items():
        here = np.flatnonzero(my_weight[rows])
        for t, (others, their_weight) in sides.items():
            there = np.flatnonzero(their_weight)
            if not (len(here) and len(there)):
                continue
            cosines = mine[rows[here]] @ others[there].T
            # Which of both asks does not matter to whether they are one person.
            known = [pair for pair in ((s, t), (t, s)) if ratios.known(*pair)]
            if not known:
                continue
            found = np.mean([ratios.log10(*pair, cosines) for pair in known], axis=0)
            both = np.outer(my_weight[rows[here]], their_weight[there])
            place = np.ix_(here, there)
            looks[place] += both * found
            weights[place] += both
    counts = np.minimum([each.count for each in pooled], TELLING) ** DIFFERENT
    return looks * np.outer(counts[rows], counts), weights


def apart(
    tracks: Sequence[KeptTrack], rows: NDArray[np.int64], topology: Topology
) -> NDArray[np.bool_]:
    """Which of some tracks cannot be one person with which of all: (R, N).

    Args:
        tracks: N of them.
        rows: (R,) numbers of those that are asked about; none of them is one with itself.
        topology: with all their cameras.
    """
    return _between(tracks, rows, topology)[3]


def _ways(
    tracks: Sequence[KeptTrack], rows: NDArray[np.int64], topology: Topology
) -> tuple[Floats, NDArray[np.bool_]]:
    origin, to, gaps, never = _between(tracks, rows, topology)
    first, last = min(t.began for t in tracks), max(t.seen for t in tracks)
    camera = topology.numbers([track.camera for track in tracks])
    counts = np.bincount(camera, minlength=len(topology.cameras))
    people = np.maximum(counts, 1) / max(SHORTEST, last - first)
    with np.errstate(divide="ignore"):
        ways = np.log10(topology.density(origin, to, gaps) / people[to])
    return ways, never


def _between(
    tracks: Sequence[KeptTrack], rows: NDArray[np.int64], topology: Topology
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats, NDArray[np.bool_]]:
    """From which camera to which, after how many seconds, and whether that is too soon."""
    began = np.array([track.began for track in tracks])
    seen = np.array([track.seen for track in tracks])
    camera = topology.numbers([track.camera for track in tracks])
    first = began[rows, None] <= began  # the row is the earlier one
    origin = np.where(first, camera[rows, None], camera)
    to = np.where(first, camera, camera[rows, None])
    gaps = np.where(first, began - seen[rows, None], began[rows, None] - seen)
    never = gaps < topology.soonest[origin, to]
    never[np.arange(len(rows)), rows] = True
    return origin, to, gaps, never
