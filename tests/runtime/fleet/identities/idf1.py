"""IDF1 by its definition: the one-to-one map of identities to people that is right most often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import permutations


def brute_force_idf1(truth: Mapping[str, int], found: Mapping[str, str]) -> float:
    """2 TP / (truths + answers) of the best of all maps; every map is tried.

    Ristani et al., "Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking",
    2016.
    """
    both = Counter((truth[key], found[key]) for key in truth if key in found)
    people, names = sorted(set(truth.values())), sorted(set(found.values()))
    wide = max(len(people), len(names))
    chosen = [*names, *[None] * (wide - len(names))]
    best = max(
        sum(both[person, name] for person, name in zip(people, order, strict=False) if name)
        for order in permutations(chosen, len(people))
    )
    return 2 * best / (len(truth) + len(found))
