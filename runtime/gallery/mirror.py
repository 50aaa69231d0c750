"""What a gallery's file holds, in memory: brought up to date, never read twice."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np

from denet.graph import STATES
from runtime.gallery.database import Holding
from runtime.gallery.index import Index
from runtime.gallery.space import GalleryError
from runtime.gallery.storage import decode, size

ROWS = 4096
"""Read at once."""

_NUMBERS = {state.name: number for number, state in enumerate(STATES)}


class Mirror:
    """The embeddings and names of one gallery.

    Args:
        holding: what its entries have in common.
        path: of its file, for messages.
    """

    def __init__(self, holding: Holding, path: Path) -> None:
        self.holding = holding
        self.index = Index(holding.space.dim)
        self.names: dict[int, str] = {}
        self._path = path
        self._last = 0

    def update(self, connection: sqlite3.Connection, holding: Holding) -> None:
        """Take over what was written since, within one transaction.

        Args:
            connection: to the file.
            holding: as it is there now.

        Raises:
            GalleryError: an entry is damaged.
        """
        if holding.removals != self.holding.removals:
            left = connection.execute("SELECT id FROM entries").fetchall()
            self.index.keep(np.array([row[0] for row in left], np.int64))
            self.names = dict(connection.execute("SELECT id, name FROM identities ORDER BY id"))
            self.holding = holding
        newest = next(reversed(self.names), 0)
        self.names.update(
            connection.execute(
                "SELECT id, name FROM identities WHERE id > ? ORDER BY id", (newest,)
            )
        )
        rows = connection.execute(
            "SELECT id, identity, state, embedding FROM entries WHERE id > ? ORDER BY id",
            (self._last,),
        )
        while chunk := rows.fetchmany(ROWS):
            self._append(chunk)

    def _append(self, rows: list[tuple[int, int, str, bytes]]) -> None:
        storage, dim = self.holding.storage, self.holding.space.dim
        for number, _, state, blob in rows:
            if state not in _NUMBERS or len(blob) != size(storage, dim):
                raise GalleryError(f"{self._path}: entry {number} is damaged: restore a copy")
        self.index.extend(
            decode([row[3] for row in rows], storage, dim),
            np.array([row[0] for row in rows], np.int64),
            np.array([row[1] for row in rows], np.int64),
            np.array([_NUMBERS[row[2]] for row in rows], np.int8),
        )
        self._last = rows[-1][0]
