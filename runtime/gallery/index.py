"""All embeddings of a gallery in memory, and their cosines to a query.

They are float32 whatever the storage: numpy takes longer to widen float16 or int8 than to read
float32 (measured in docs/gallery.md). The matrix is cut into blocks, so that it grows without being
copied, and several threads work on it.

The threads are ours, and the product is not BLAS's: its threads wait for each other by spinning,
and where other work runs on the same cores the median search took up to ten times as long.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from denet.graph import State

BLOCK = 4096
"""Rows of a block: 8 MB with 512 numbers each. Pages of a block that were never written take no
memory."""

MOST_THREADS = 4
"""More are not faster: they wait for memory."""


class Index:
    """Rows of embeddings, each with the ids of its entry and identity and the number of its state,
    in the order of the entries' ids. States are numbered as they come: `known` has each.

    Args:
        dim: numbers of an embedding.
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.entries: NDArray[np.int64] = np.empty(0, np.int64)
        self.identities: NDArray[np.int64] = np.empty(0, np.int64)
        self.states: NDArray[np.int16] = np.empty(0, np.int16)
        self.known: list[State] = []
        self._blocks: list[NDArray[np.float32]] = []
        self._pool = ThreadPoolExecutor(min(os.cpu_count() or 1, MOST_THREADS), "gallery")

    def __len__(self) -> int:
        return len(self.entries)

    def extend(
        self,
        embeddings: NDArray[np.float32],
        entries: NDArray[np.int64],
        identities: NDArray[np.int64],
        states: Sequence[State],
    ) -> None:
        """Add rows behind the others; ids must go on rising."""
        done = 0
        while done < len(embeddings):
            start = (len(self) + done) % BLOCK
            if start == 0:
                self._blocks.append(np.empty((BLOCK, self.dim), np.float32))
            count = min(BLOCK - start, len(embeddings) - done)
            self._blocks[-1][start : start + count] = embeddings[done : done + count]
            done += count
        self.entries = np.concatenate([self.entries, entries])
        self.identities = np.concatenate([self.identities, identities])
        self.states = np.concatenate([self.states, self._numbers(states)])

    def state(self, row: int) -> State:
        """The state of a row."""
        return self.known[int(self.states[row])]

    def _numbers(self, states: Sequence[State]) -> NDArray[np.int16]:
        new = dict.fromkeys(states)
        self.known += [state for state in new if state not in self.known]
        numbers = {state: number for number, state in enumerate(self.known)}
        return np.array([numbers[state] for state in states], np.int16)

    def keep(self, entries: NDArray[np.int64]) -> None:
        """Drop the rows of all other entries."""
        rows = np.flatnonzero(np.isin(self.entries, entries))
        # Rows only move to the front: in place, none is overwritten that is still to be moved.
        for start in range(0, len(rows), BLOCK):
            chunk = rows[start : start + BLOCK]
            moved = np.stack([self._blocks[row // BLOCK][row % BLOCK] for row in chunk])
            self._blocks[start // BLOCK][: len(moved)] = moved
        del self._blocks[-(-len(rows) // BLOCK) :]
        self.entries = self.entries[rows]
        self.identities = self.identities[rows]
        self.states = self.states[rows]

    def cosines(self, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """Of (Q, dim) queries to all rows: (Q, rows)."""
        found = np.empty((len(queries), len(self)), np.float32)

        def fill(number: int) -> None:
            start = number * BLOCK
            block = self._blocks[number][: len(self) - start]
            for query, row in zip(queries, found, strict=True):
                np.einsum("ij,j->i", block, query, out=row[start : start + len(block)])

        run = self._pool.map if len(self._blocks) > 1 else map
        list(run(fill, range(len(self._blocks))))
        return found

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()
