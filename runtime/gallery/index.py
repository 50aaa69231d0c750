"""All embeddings of a gallery in memory, and their cosines to a query.

They are float32 whatever the storage: BLAS multiplies those as fast as memory delivers them, while
numpy takes longer to widen float16 or int8 than to read float32 (measured in docs/gallery.md). The
matrix is cut into blocks, so that it grows without being copied.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

BLOCK = 8192
"""Rows of a block: 16 MB with 512 numbers each. Pages of a block that were never written take no
memory."""


class Index:
    """Rows of embeddings, each with the ids of its entry and identity and the number of its state,
    in the order of the entries' ids.

    Args:
        dim: numbers of an embedding.
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.entries = np.empty(0, np.int64)
        self.identities = np.empty(0, np.int64)
        self.states = np.empty(0, np.int8)
        self._blocks: list[NDArray[np.float32]] = []

    def __len__(self) -> int:
        return len(self.entries)

    def extend(
        self,
        embeddings: NDArray[np.float32],
        entries: NDArray[np.int64],
        identities: NDArray[np.int64],
        states: NDArray[np.int8],
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
        self.states = np.concatenate([self.states, states])

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
        for start, block in self._filled():
            np.matmul(queries, block.T, out=found[:, start : start + len(block)])
        return found

    def _filled(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        for number, block in enumerate(self._blocks):
            start = number * BLOCK
            yield start, block[: len(self) - start]
