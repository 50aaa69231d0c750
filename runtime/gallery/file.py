"""A gallery in one SQLite file, searched exactly in memory: no server, no heavy dependency."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import msgspec
import numpy as np
from numpy.typing import NDArray

from denet.files import written_whole
from denet.graph import State
from denet.outputs import writing
from runtime.gallery import database
from runtime.gallery.base import Enrolment, Entry, Match
from runtime.gallery.checks import check_embeddings, check_enrolments, metadata_text
from runtime.gallery.copying import check_copy, copy_whole
from runtime.gallery.database import Holding
from runtime.gallery.mirror import Mirror
from runtime.gallery.mirrored import MirroredFile
from runtime.gallery.names import spelled
from runtime.gallery.ranking import rank
from runtime.gallery.rows import (
    INSERT,
    Content,
    EntryRows,
    check_all,
    check_file,
    entry_digest,
    read_rows,
)
from runtime.gallery.scores import Scores
from runtime.gallery.space import GalleryError, Space
from runtime.gallery.storage import Storage, encode

DEFAULT: Storage = "float16"

QUERIES = 64
"""Searched at once."""


class FileGallery:
    """A `base.Gallery` in a file.

    The file holds what must last. Memory holds the embeddings; before a search it takes over what
    this or another process has written since. If another file is put in its place, that one is the
    gallery.

    Args:
        path: the file.
        create: make it where it is not there.
        storage: how embeddings are stored; None for what the file has, or `DEFAULT`.
        read_only: leave the file as it is; nobody can be enrolled or removed.

    Raises:
        GalleryError: the file cannot be used, or stores otherwise.
    """

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
        names, vectors = check_enrolments(space, enrolments)
        metadata = [metadata_text(enrolment) for enrolment in enrolments]
        with self._turn(), self._file.writing() as (connection, found):
            holding = self._adopted(found, space)
            ids = range(holding.last + 1, holding.last + 1 + len(enrolments))
            rows = [
                (
                    number,
                    name.encode(),
                    enrolment.state.name.encode(),
                    blob,
                    float(enrolment.time),
                    enrolment.source.encode(),
                    about,
                )
                for number, name, enrolment, blob, about in zip(
                    ids, names, enrolments, encode(vectors, holding.storage), metadata, strict=True
                )
            ]
            digests = [_insert(connection, holding, row) for row in rows]
            database.write_holding(connection, holding.with_more(ids[-1], digests))
        return list(ids)

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
        if top < 1:
            raise GalleryError(f"the {top} best were asked for: ask for at least 1")
        queries = check_embeddings(space, embeddings, len(states))
        if scores is not None:
            scores.space.require(space, scores.name)
        with self._turn():
            mirror = self._file.mirror()
            if mirror is None:
                return [[] for _ in states]
            mirror.holding.space.require(space, str(self.path))
            found: list[list[Match]] = []
            for start in range(0, len(states), QUERIES):
                rows = slice(start, start + QUERIES)
                cosines = mirror.index.cosines(queries[rows])
                for state, mine in zip(states[rows], cosines, strict=True):
                    found.append(_matches(mirror, mine, state, top, scores))
            return found

    def entries(self, identity: str | None = None) -> list[Entry]:
        """See `base.Gallery`."""
        name = None if identity is None else spelled(identity).encode()
        with self._turn(), self._file.reading() as (connection, holding):
            digests: list[NDArray[np.uint64]] = [np.empty((0, 2), np.uint64)]
            found: list[Entry] = []
            for rows in read_rows(connection, holding, self.path):
                digests.append(rows.digests)
                found += _entries(rows, holding.space, name)
            check_all(holding, np.concatenate(digests), self.path)
            return found

    def remove(self, identity: str, entry: int | None = None) -> int:
        """See `base.Gallery`."""
        name = spelled(identity)
        with self._turn(), self._file.writing() as (connection, holding):
            gone = connection.execute(
                "SELECT id, digest FROM entries "
                "WHERE identity = :name AND (:entry IS NULL OR id = :entry)",
                {"name": name, "entry": entry},
            ).fetchall()
            if not gone:
                which = "" if entry is None else f" with an entry {entry}"
                raise GalleryError(
                    f"{self.path}: has no identity {name!r}{which}: `denet gallery list` "
                    "shows whom it has"
                )
            connection.executemany("DELETE FROM entries WHERE id = ?", [(n,) for n, _ in gone])
            left = holding.with_less([digest for _, digest in gone])
            database.write_holding(connection, left)
        return len(gone)

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

    def close(self) -> None:
        """See `base.Gallery`."""
        with self._lock:
            self._file.close()

    def __enter__(self) -> FileGallery:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

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

    def _check_storage(self, holding: Holding) -> None:
        if not holding.bare and self._wanted not in (None, holding.storage):
            raise GalleryError(
                f"{self.path}: stores {holding.storage}, not {self._wanted}: leave that out, or "
                "enrol into another file"
            )


def _insert(connection: sqlite3.Connection, holding: Holding, row: Content) -> bytes:
    digest = entry_digest(holding.id, row)
    connection.execute(INSERT, (*row, digest))
    return digest


def _entries(rows: EntryRows, space: Space, name: bytes | None) -> list[Entry]:
    return [
        Entry(
            id=number,
            identity=identity.decode(),
            state=state,
            time=time,
            source=source.decode(),
            metadata=msgspec.json.decode(metadata),
            space=space,
        )
        for (number, identity, _, _, time, source, metadata, _), state in zip(
            rows.stored, rows.states, strict=True
        )
        if name in (None, identity)
    ]


def _matches(
    mirror: Mirror, cosines: NDArray[np.float32], state: State, top: int, scores: Scores | None
) -> list[Match]:
    index = mirror.index
    return [
        Match(
            identity=mirror.names[int(index.identities[hit.row])],
            score=hit.score,
            cosine=hit.cosine,
            entry=int(index.entries[hit.row]),
            state=index.state(hit.row),
        )
        for hit in rank(index, cosines, state, top, scores)
    ]
