"""What a gallery holds, in memory: whole, brought up to date, never read twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from denet.graph import State
from runtime.gallery.base import Match
from runtime.gallery.database import Holding
from runtime.gallery.index import Index
from runtime.gallery.ranking import matches_of
from runtime.gallery.rows import EntryRows, check_all
from runtime.gallery.scores import Scores
from runtime.gallery.space import GalleryError

QUERIES = 64
"""Searched at once."""


class EntrySource(Protocol):
    """One state of a gallery that is kept elsewhere."""

    def ids(self) -> NDArray[np.int64]:
        """Of all entries that there are."""

    def rows(self, after: int) -> Iterable[EntryRows]:
        """The entries with greater ids than `after`, in the order of their ids."""


class Mirror:
    """The embeddings and names of one gallery.

    Args:
        holding: what its entries have in common.
        name: of the gallery, for messages.
    """

    def __init__(self, holding: Holding, name: Path | str) -> None:
        self.holding = holding
        self.index = Index(holding.space.dim)
        self.names: dict[int, str] = {}
        self._numbers: dict[bytes, int] = {}
        self._digests: NDArray[np.uint64] = np.empty((0, 2), np.uint64)
        self._given = 0  # numbers of identities
        self._name = name

    def update(self, source: EntrySource, holding: Holding) -> None:
        """Take over what was written since. After an error this mirror is not to be used.

        Args:
            source: the gallery as it is now.
            holding: as it is there now, of the same gallery.

        Raises:
            GalleryError: an entry is damaged, or the entries are not those that were enrolled.
        """
        if holding.removals != self.holding.removals:
            self._keep(source.ids())
        last = int(self.index.entries[-1]) if len(self.index) else 0
        new = [self._add(rows) for rows in source.rows(last)]
        self._digests = np.concatenate([self._digests, *new])
        check_all(holding, self._digests, self._name)
        self.holding = holding

    @classmethod
    def read(cls, source: EntrySource, holding: Holding, name: Path | str) -> Mirror:
        """All of a gallery in which somebody is enrolled.

        Raises:
            GalleryError: as `update`.
        """
        mirror = cls(holding, name)
        try:
            mirror.update(source, holding)
        except BaseException:
            mirror.index.close()
            raise
        return mirror

    def catches_up(self, source: Callable[[], EntrySource], holding: Holding) -> bool:
        """`update`, if this may have become that; whether it did. If not, this mirror is not to be
        used: it may be of another gallery that was in the place of this one, as before a backup.

        Args:
            source: gives the gallery as it is now.
            holding: as it is there now.
        """
        try:
            if self.follows(holding):
                self.update(source(), holding)
                return True
        except GalleryError:
            pass
        return False

    def follows(self, holding: Holding) -> bool:
        """Whether `holding` may be what this became: of the same gallery, and not older."""
        mine = self.holding
        return (mine.id, mine.space, mine.storage) == (
            holding.id,
            holding.space,
            holding.storage,
        ) and (mine.removals <= holding.removals and mine.last <= holding.last)

    def search(
        self,
        queries: NDArray[np.float32],
        states: Sequence[State],
        top: int,
        scores: Scores | None,
    ) -> list[list[Match]]:
        """The best identities for each of (Q, dim) embeddings, as of `base.Gallery.search`."""
        found: list[list[Match]] = []
        for start in range(0, len(states), QUERIES):
            rows = slice(start, start + QUERIES)
            cosines = self.index.cosines(queries[rows])
            for state, mine in zip(states[rows], cosines, strict=True):
                found.append(matches_of(self.index, self.names, mine, state, top, scores))
        return found

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
