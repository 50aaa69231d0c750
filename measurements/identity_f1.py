"""IDF1 of identities over cameras, each track by its boxes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from runtime.node.tracks.assignment import assign


@dataclass(frozen=True)
class IdentityScore:
    """Of all boxes.

    Attributes:
        idf1: 2 IDTP / (boxes of the truth + boxes of the answer).
        right: share of the pairs of tracks of one identity that are of one person.
        identities: in the answer.
        people: in the truth.
    """

    idf1: float
    right: float
    identities: int
    people: int


def identity_f1(
    truth: Mapping[str, int], found: Mapping[str, str], boxes: Mapping[str, int]
) -> IdentityScore:
    """How well identities are people: boxes that are right under the best one-to-one map.

    Ristani et al., "Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking",
    2016.

    Args:
        truth: who is in each track.
        found: the identity of each track; of those that have none it is the track itself.
        boxes: of each track.
    """
    keys = list(truth)
    names = [found.get(key, key) for key in keys]
    people, who = np.unique([truth[key] for key in keys], return_inverse=True)
    ids, which = np.unique(names, return_inverse=True)
    weights = np.array([boxes[key] for key in keys], float)
    both = np.zeros((len(people), len(ids)))
    np.add.at(both, (who, which), weights)
    right = sum(both[pair] for pair in assign(1 - both / both.max()))
    joined = (which[:, None] == which) & ~np.eye(len(keys), dtype=bool)
    same = joined & (who[:, None] == who)
    return IdentityScore(
        idf1=float(2 * right / (2 * weights.sum())),
        right=float(same.sum() / max(1, joined.sum())),
        identities=len(ids),
        people=len(people),
    )
