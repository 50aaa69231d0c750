"""What a crop takes in each state, on this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from denet.graph import Graph, State
from runtime.bundle.manifest import Manifest
from runtime.runtime import Sample

RUNS = 3
"""Batches of each state, of which the quickest counts: others of the machine only slow it."""


class EmbedsBatches(Protocol):
    """What a runtime does, here or on a server."""

    graph: Graph

    def embed_batch(self, samples: Sequence[Sample]) -> NDArray[np.float32]: ...


def measure_costs(runtime: EmbedsBatches, manifest: Manifest, batch: int) -> dict[State, float]:
    """Seconds of a crop in each state, in batches of that size; some tenths of seconds in all."""
    size = manifest.preprocessing
    blank: NDArray[Any] = np.zeros((size.height, size.width, 3), np.uint8)
    costs = {}
    for state in runtime.graph.states:
        samples = [dict.fromkeys(state.available, blank)] * batch
        runtime.embed_batch(samples)
        least = float("inf")
        for _ in range(RUNS):
            began = time.perf_counter()
            runtime.embed_batch(samples)
            least = min(least, time.perf_counter() - began)
        costs[state] = least / batch
    return costs
