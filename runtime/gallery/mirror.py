"""What a gallery's file holds, in memory: brought up to date, never read twice."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np

from denet.graph import State, StateError
from runtime.gallery.database import Holding
from runtime.gallery.index import Index
from runtime.gallery.space import GalleryError
from runtime.gallery.storage import decode, size
from runtime.states import read_state

ROWS = 4096
"""Read at once."""


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
        self._states: dict[str, State] = {}  # by name, as they come

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
        for number, _, name, blob in rows:
            try:
                if name not in self._states:
                    self._states[name] = read_state(name)
                whole = len(blob) == size(storage, dim)
            except StateError:
                whole = False
            if not whole:
                raise GalleryError(f"{self._path}: entry {number} is damaged: restore a copy")
        self.index.extend(
            decode([row[3] for row in rows], storage, dim),
            np.array([row[0] for row in rows], np.int64),
            np.array([row[1] for row in rows], np.int64),
            [self._states[row[2]] for row in rows],
        )
        self._last = rows[-1][0]
