"""The embedding of a track: sums of its sightings, one for each missing state.

Sighting i has an embedding e_i of length 1 and a weight w_i. For each state s in which the track
was embedded, two things are kept, however long the track:

    u_s = sum of w_i e_i      W_s = sum of w_i      over the sightings in s

The pooled embedding of the state is u_s / |u_s|. Its cosine to a vector x is <u_s, x> / |u_s|; the
mean of the cosines of its sightings, each by its weight, is <u_s, x> / W_s. Of two tracks,
<u_s, v_t> / (W_s V_t) is the mean over all pairs of a sighting in s of the one and a sighting in t
of the other. States are never summed: a cosine means another thing for each pair of states, and a
vector of several states would be in none.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from denet.graph import State
from runtime.gallery import Space

Vector = NDArray[np.float32]


class Pooled:
    """What is known of one person, in one `Space`.

    Attributes:
        space: of the embeddings.
        sums: by state: (dim,) float32, u_s.
        weights: by state: W_s, above 0.
        counts: by state: how many sightings.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.sums: dict[State, Vector] = {}
        self.weights: dict[State, float] = {}
        self.counts: dict[State, int] = {}

    @property
    def count(self) -> int:
        """How many sightings in all."""
        return sum(self.counts.values())

    def add(self, state: State, embedding: Vector, weight: float) -> None:
        """Take a sighting in.

        Args:
            state: in which it was embedded.
            embedding: (dim,), L2-normalized.
            weight: above 0.
        """
        self._add(state, np.float32(weight) * embedding, weight, 1)

    def merge(self, other: Pooled) -> None:
        """Take all sightings of another one in, of the same space."""
        for state, total in other.sums.items():
            self._add(state, total, other.weights[state], other.counts[state])

    def copy(self) -> Pooled:
        """One that does not change with this one."""
        made = Pooled(self.space)
        made.merge(self)
        return made

    def vector(self, state: State) -> Vector:
        """(dim,) u_s / |u_s|: the pooled embedding of a state."""
        total = self.sums[state]
        pooled: Vector = total / np.maximum(np.linalg.norm(total), np.float32(1e-12))
        return pooled

    def agreement(self, state: State) -> float:
        """|u_s| / W_s, of 0 to 1: how alike the sightings of a state are. A cosine of the pooled
        embedding times this is the mean of the cosines of its sightings."""
        return min(1.0, float(np.linalg.norm(self.sums[state])) / self.weights[state])

    def mean_cosine(self, state: State, other: Pooled, its_state: State) -> float:
        """Mean of the cosines of all pairs of sightings in these states, by their weights."""
        product = float(self.sums[state] @ other.sums[its_state])
        return product / (self.weights[state] * other.weights[its_state])

    def _add(self, state: State, total: Vector, weight: float, count: int) -> None:
        known = self.sums.get(state)
        # A new array each time: who has a sum need not fear that it changes.
        self.sums[state] = total.copy() if known is None else known + total
        self.weights[state] = self.weights.get(state, 0.0) + weight
        self.counts[state] = self.counts.get(state, 0) + count
