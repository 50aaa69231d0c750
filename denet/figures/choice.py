"""Which samples the figures show: drawn from a seed, and only such as the protocol counts."""

from __future__ import annotations

import numpy as np

from denet.evaluate import Split
from denet.graph import Graph, State


def shown_states(graph: Graph) -> tuple[State, ...]:
    """One state of each kind: everything, a night without visible light, one plain camera.

    That is without the first modality, and with the first alone: of RGB, NIR and TIR these are
    complete, nir+tir and rgb.
    """
    first, *rest = graph.modalities
    night = [graph.state(rest)] if rest else []
    return tuple(dict.fromkeys((graph.complete, *night, graph.state([first]))))


def matches_of(split: Split, query: int) -> list[int]:
    """The query's matches: gallery items of its identity that another camera saw."""
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
        if split.query[query].identity not in chosen and matches_of(split, query):
            chosen[split.query[query].identity] = query
    return list(chosen.values())
