"""A gallery in one SQLite file, searched exactly in memory: no server, no heavy dependency."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from denet.files import written_whole
from denet.graph import State
from denet.outputs import writing
from runtime.closing import Closing
from runtime.gallery import database
from runtime.gallery.base import Enrolment, Entry, Match
from runtime.gallery.checks import check_search
from runtime.gallery.copying import check_copy, copy_whole
from runtime.gallery.database import Holding
from runtime.gallery.managed import EVERYWHERE, Erased, filled, unknown
from runtime.gallery.mirrored import MirroredFile
from runtime.gallery.names import spelled
from runtime.gallery.rows import (
    INSERT,
    Enrolments,
    EntryRows,
    check_file,
    digests_of,
    proven,
    read_rows,
    sealed_rows,
)
from runtime.gallery.scores import Scores
from runtime.gallery.space import GalleryError, Space
from runtime.gallery.storage import Storage

DEFAULT: Storage = "float16"


class FileGallery(Closing):
    """A `base.Gallery` in a file.

    The file holds what must last. Memory holds the embeddings; before a search it takes over what
    this or another process has written since. If another file is put in its place, that one is the
    gallery.

    Args:
        path: the file.
        create: make it where it is not there.
        storage: how embeddings are stored; None for what the file has, or `DEFAULT`.
        read_only: leave the file as it is; nobody can be enrolled or removed.

    Attributes:
        stale: as of `base.Gallery`: a file is never away.

    Raises:
        GalleryError: the file cannot be used, or stores otherwise.
    """

    stale = ""

    def __init__(
        self,
        path: Path,
        *,
        create: bool = False,
        storage: Storage | None = None,
        read_only: bool = False,
    ) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._wanted = storage
        self._file = MirroredFile(path, create=create, read_only=read_only)
        try:
            with self._turn(), self._file.reading() as (_, holding):
                self._check_storage(holding)
        except BaseException:
            self._file.close()
            raise

    def enrol(self, space: Space, enrolments: Sequence[Enrolment]) -> list[int]:
        """See `base.Gallery`."""
        if not enrolments:
            return []
        wanted = Enrolments(space, enrolments)
        with self._turn(), self._file.writing() as (connection, found):
            holding = self._adopted(found, space)
            rows = sealed_rows(holding, wanted.contents(holding))
            connection.executemany(INSERT, rows)
            database.write_holding(connection, holding.with_more(rows[-1][0], digests_of(rows)))
        return [row[0] for row in rows]

    def search(
        self,
        space: Space,
        embeddings: NDArray[np.float32],
        states: Sequence[State],
        *,
        top: int = 10,
        scores: Scores | None = None,
    ) -> list[list[Match]]:
        """See `base.Gallery`."""
        queries = check_search(space, embeddings, states, top, scores)
        with self._turn():
            mirror = self._file.mirror()
            if mirror is None:
                return [[] for _ in states]
            mirror.holding.space.require(space, str(self.path))
            return mirror.search(queries, states, top, scores)

    def entries(self, identity: str | None = None) -> list[Entry]:
        """See `base.Gallery`."""
        name = None if identity is None else spelled(identity).encode()
        with self._turn(), self._file.reading() as (connection, holding):
            found: list[Entry] = []
            for rows in proven(read_rows(connection, holding, self.path), holding, self.path):
                found += rows.entries(holding.space, name)
            return found

    def remove(self, identity: str, entry: int | None = None) -> int:
        """See `base.Gallery`."""
        name = spelled(identity)
        gone = self._forget(
            "identity = :name AND (:entry IS NULL OR id = :entry)", name=name, entry=entry
        )
        if not gone:
            raise unknown(self.path, name, entry)
        return gone

    def expire(self, before: float) -> int:
        """See `managed.ManagedGallery`."""
        return self._forget("time < :before", before=before)

    def erase(self, identity: str) -> Erased:
        """See `managed.ManagedGallery`."""
        return Erased(
            self.remove(identity),
            overwritten=True,
            remains=(
                "backups and copies of the file: remove it from each, or delete them",
                "the memory of nodes that have the file open, until their next search",
                *EVERYWHERE,
            ),
        )

    def check(self) -> int:
        """Read the whole file and see that nothing in it is damaged; how many entries it has.

        Raises:
            GalleryError: something is.
        """
        with self._turn(), self._file.reading() as (connection, holding):
            check_file(connection, holding, self.path)
            return holding.count

    def backup(self, out: Path) -> int:
        """Write a copy of all that is in it at this moment, and see that it is whole; others may
        search meanwhile, and wait before they write.

        Args:
            out: the file to write; another gallery there is replaced.

        Returns:
            How many entries it has.

        Raises:
            GalleryError: the gallery is damaged, or the copy cannot be written.
        """
        with writing(out, GalleryError), written_whole(out, private=True) as new, self._turn():
            with self._file.reading() as (connection, holding):
                check_file(connection, holding, self.path)
                copy_whole(connection, new)
            return check_copy(new, holding)

    @contextmanager
    def whole(self) -> Iterator[tuple[Holding, Iterator[EntryRows]]]:
        """See `managed.ManagedGallery`."""
        with self._turn(), self._file.reading() as (connection, holding):
            yield holding, read_rows(connection, holding, self.path)

    def fill(self, like: Holding, rows: Iterable[EntryRows]) -> int:
        """See `managed.ManagedGallery`."""
        with self._turn(), self._file.writing() as (connection, found):
            holding = filled(found, like, self.path)
            for some in rows:
                new = sealed_rows(holding, (row[:7] for row in some.stored))
                connection.executemany(INSERT, new)
                holding = holding.with_more(holding.last, digests_of(new))
            database.write_holding(connection, holding)
        return holding.count

    def close(self) -> None:
        """See `base.Gallery`."""
        with self._lock:
            self._file.close()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with self._lock, database.in_plain_words(self.path):
            yield

    def _adopted(self, holding: Holding, space: Space) -> Holding:
        """What the gallery holds with entries of `space` in it."""
        if holding.bare:
            return replace(holding, space=space, storage=self._wanted or DEFAULT)
        self._check_storage(holding)
        holding.space.require(space, str(self.path))
        return holding

    def _forget(self, which: str, **values: object) -> int:
        """Remove the entries for which a condition holds; how many."""
        with self._turn(), self._file.writing() as (connection, holding):
            gone = connection.execute(
                f"SELECT id, digest FROM entries WHERE {which}", values
            ).fetchall()
            if gone:
                connection.executemany("DELETE FROM entries WHERE id = ?", [(n,) for n, _ in gone])
                left = holding.with_less([digest for _, digest in gone])
                database.write_holding(connection, left)
        return len(gone)

    def _check_storage(self, holding: Holding) -> None:
        if not holding.bare and self._wanted not in (None, holding.storage):
            raise GalleryError(
                f"{self.path}: stores {holding.storage}, not {self._wanted}: leave that out, or "
                "enrol into another file"
            )
