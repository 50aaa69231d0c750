"""Which samples the figures show: drawn from a seed, and only such as the protocol counts."""

from __future__ import annotations

import numpy as np

from denet.evaluate import Split
from denet.graph import COMPLETE, State

SHOWN_STATES: tuple[State, ...] = (COMPLETE, State.parse("nir+tir"), State.parse("rgb"))
"""One state of each kind: everything, a night without visible light, one plain camera."""


def others(split: Split, query: int) -> list[int]:
    """Gallery items of the query's identity that another camera saw: its matches."""
    wanted = split.query[query]
    return [
        i
        for i, record in enumerate(split.gallery)
        if record.identity == wanted.identity and record.camera != wanted.camera
    ]


def choose_queries(split: Split, count: int, seed: int) -> list[int]:
    """Up to `count` queries with a match in the gallery, each of another identity."""
    chosen: dict[int, int] = {}
    for query in np.random.default_rng(seed).permutation(len(split.query)).tolist():
        if len(chosen) == count:
            break
        if split.query[query].identity not in chosen and others(split, query):
            chosen[split.query[query].identity] = query
    return list(chosen.values())
