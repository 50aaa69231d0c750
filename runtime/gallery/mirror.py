"""What a gallery's file holds, in memory: whole, brought up to date, never read twice."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.gallery.database import Holding
from runtime.gallery.index import Index
from runtime.gallery.rows import EntryRows, check_all, read_rows


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
        self._numbers: dict[bytes, int] = {}
        self._digests: NDArray[np.uint64] = np.empty((0, 2), np.uint64)
        self._given = 0  # numbers of identities
        self._path = path

    def update(self, connection: sqlite3.Connection, holding: Holding) -> None:
        """Take over what was written since, within one transaction. After an error this mirror is
        not to be used.

        Args:
            connection: to the file.
            holding: as it is there now, of the same gallery.

        Raises:
            GalleryError: an entry is damaged, or the entries are not those that were enrolled.
        """
        if holding.removals != self.holding.removals:
            left = connection.execute("SELECT id FROM entries").fetchall()
            self._keep(np.array([row[0] for row in left], np.int64))
        last = int(self.index.entries[-1]) if len(self.index) else 0
        new = [self._add(rows) for rows in read_rows(connection, holding, self._path, last)]
        self._digests = np.concatenate([self._digests, *new])
        check_all(holding, self._digests, self._path)
        self.holding = holding

    def follows(self, holding: Holding) -> bool:
        """Whether `holding` may be what this became: of the same gallery, and not older."""
        mine = self.holding
        return (mine.id, mine.space, mine.storage) == (
            holding.id,
            holding.space,
            holding.storage,
        ) and (mine.removals <= holding.removals and mine.last <= holding.last)

    def _keep(self, entries: NDArray[np.int64]) -> None:
        self._digests = self._digests[np.isin(self.index.entries, entries)]
        self.index.keep(entries)
        known = set(self.index.identities.tolist())
        self.names = {number: name for number, name in self.names.items() if number in known}
        self._numbers = {name: n for name, n in self._numbers.items() if n in known}

    def _add(self, rows: EntryRows) -> NDArray[np.uint64]:
        self.index.extend(
            rows.embeddings,
            np.array([row[0] for row in rows.stored], np.int64),
            np.array([self._number(row[1]) for row in rows.stored], np.int64),
            rows.states,
        )
        return rows.digests

    def _number(self, name: bytes) -> int:
        number = self._numbers.get(name)
        if number is None:
            self._given += 1
            number = self._numbers[name] = self._given
            self.names[number] = name.decode()
        return number
