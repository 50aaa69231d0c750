"""Embeds records as a bundle does, each in every missing state."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from denet.data.records import Record
from denet.graph import State
from runtime.runtime import Runtime

Embeddings = dict[State, NDArray[np.float32]]
"""(N, dim) of N records in each state."""


def embed_states(
    runtime: Runtime,
    records: Sequence[Record],
    states: Sequence[State] | None = None,
    notify: Callable[[int], None] = lambda _: None,
) -> Embeddings:
    """The embeddings of `records` as if only the modalities of a state were available, for each.

    Images are read once.

    Args:
        runtime: a loaded bundle.
        records: what to embed; all of them have the modalities of all `states`.
        states: in which; None for all of the bundle's.
        notify: told of so many records more.

    Raises:
        DataError: an image cannot be read.
    """
    if states is None:
        states = runtime.graph.states
    made: Embeddings = {
        state: np.empty((len(records), runtime.dim), np.float32) for state in states
    }
    for start in range(0, len(records), runtime.max_batch):
        rows = slice(start, start + runtime.max_batch)
        opened = [record.open() for record in records[rows]]
        for state in states:
            made[state][rows] = runtime.embed_batch(
                [{m: images[m] for m in state.available} for images in opened]
            )
        notify(len(opened))
    return made
