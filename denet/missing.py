"""Which modalities are missing at random: the paper's missing rate, as it is read here."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from denet.graph import Graph, State


def draw_states(graph: Graph, count: int, rate: float, seed: int) -> list[State]:
    """`rate` of `count` samples lose some modalities of `graph` (`docs/paper.md` has the text).

    Which samples and which modalities is drawn from `seed`. Nobody loses all of them, so where
    there is but one, nobody loses any.
    """
    random = np.random.default_rng(seed)
    modalities = graph.modalities
    losses = [lost for size in range(1, len(modalities)) for lost in combinations(modalities, size)]
    states = [graph.complete] * count
    for i in random.permutation(count)[: round(rate * count)] if losses else ():
        lost = losses[random.integers(len(losses))]
        states[i] = graph.state(m for m in modalities if m not in lost)
    return states
