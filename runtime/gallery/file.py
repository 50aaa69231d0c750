"""A gallery in one SQLite file, searched exactly in memory: no server, no heavy dependency."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import msgspec
import numpy as np
from numpy.typing import NDArray

from denet.graph import State
from runtime.gallery import database
from runtime.gallery.base import Enrolment, Entry, Match
from runtime.gallery.checks import check_embeddings, check_enrolments, metadata_text
from runtime.gallery.database import Holding
from runtime.gallery.mirror import Mirror
from runtime.gallery.ranking import rank
from runtime.gallery.scores import Scores
from runtime.gallery.space import GalleryError, Space
from runtime.gallery.storage import Storage, encode
from runtime.sqlite import transaction
from runtime.states import read_state

DEFAULT: Storage = "float16"

QUERIES = 64
"""Searched at once."""

UNREAD = -1
"""No version of a file: memory is behind it."""


class FileGallery:
    """A `base.Gallery` in a file.

    The file holds what must last. Memory holds the embeddings; before a search it takes over what
    this or another process has written since.

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
        self._mirror: Mirror | None = None
        self._version = UNREAD
        self._connection = database.connect(path, create=create, read_only=read_only)
        try:
            with self._turn():
                self._check_storage(database.read_holding(self._connection, path))
        except BaseException:
            self._connection.close()
            raise

    def enrol(self, space: Space, enrolments: Sequence[Enrolment]) -> list[int]:
        """See `base.Gallery`."""
        if not enrolments:
            return []
        vectors = check_enrolments(space, enrolments)
        metadata = [metadata_text(enrolment) for enrolment in enrolments]
        with self._turn():
            with transaction(self._connection, "IMMEDIATE"):
                blobs = encode(vectors, self._adopt(space).storage)
                ids = [self._insert(*e) for e in zip(enrolments, blobs, metadata, strict=True)]
            self._version = UNREAD  # a connection is not told of its own changes
            return ids

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
            mirror = self._refreshed()
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
        with self._turn(), transaction(self._connection, "DEFERRED"):
            holding = database.read_holding(self._connection, self.path)
            rows = self._connection.execute(
                "SELECT entries.id, name, state, time, source, metadata "
                "FROM entries JOIN identities ON identities.id = identity "
                "WHERE :name IS NULL OR name = :name ORDER BY entries.id",
                {"name": identity},
            ).fetchall()
        if holding is None:
            return []
        return [
            Entry(
                id=number,
                identity=name,
                state=read_state(state),
                time=time,
                source=source,
                metadata=msgspec.json.decode(metadata),
                space=holding.space,
            )
            for number, name, state, time, source, metadata in rows
        ]

    def remove(self, identity: str, entry: int | None = None) -> int:
        """See `base.Gallery`."""
        with self._turn():
            with transaction(self._connection, "IMMEDIATE"):
                gone = self._connection.execute(
                    "DELETE FROM entries WHERE (:entry IS NULL OR id = :entry) "
                    "AND identity = (SELECT id FROM identities WHERE name = :name)",
                    {"name": identity, "entry": entry},
                ).rowcount
                if not gone:
                    which = "" if entry is None else f" with an entry {entry}"
                    raise GalleryError(
                        f"{self.path}: has no identity {identity!r}{which}: `denet gallery list` "
                        "shows whom it has"
                    )
                self._connection.execute(
                    "DELETE FROM identities WHERE name = ? "
                    "AND NOT EXISTS (SELECT 1 FROM entries WHERE identity = identities.id)",
                    (identity,),
                )
                self._connection.execute("UPDATE gallery SET removals = removals + 1")
            self._version = UNREAD
            # What was removed is overwritten in the file now, and is out of its log.
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            return gone

    def close(self) -> None:
        """See `base.Gallery`."""
        with self._lock:
            self._connection.close()
            if self._mirror is not None:
                self._mirror.index.close()
                self._mirror = None

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

    def _refreshed(self) -> Mirror | None:
        """The embeddings as they are in the file now; None before the first enrolment."""
        version = self._connection.execute("PRAGMA data_version").fetchone()[0]
        if version != self._version:
            with transaction(self._connection, "DEFERRED"):
                holding = database.read_holding(self._connection, self.path)
                if holding is None:
                    return None
                if self._mirror is None:
                    self._mirror = Mirror(holding, self.path)
                self._mirror.update(self._connection, holding)
            self._version = version
        return self._mirror

    def _adopt(self, space: Space) -> Holding:
        """What the entries have in common, with the new ones."""
        holding = database.read_holding(self._connection, self.path)
        if holding is None:
            holding = Holding(space, self._wanted or DEFAULT, 0)
            database.write_holding(self._connection, holding)
        self._check_storage(holding)
        holding.space.require(space, str(self.path))
        return holding

    def _check_storage(self, holding: Holding | None) -> None:
        if holding is not None and self._wanted not in (None, holding.storage):
            raise GalleryError(
                f"{self.path}: stores {holding.storage}, not {self._wanted}: leave that out, or "
                "enrol into another file"
            )

    def _insert(self, enrolment: Enrolment, blob: bytes, metadata: str) -> int:
        self._connection.execute(
            "INSERT OR IGNORE INTO identities (name) VALUES (?)", (enrolment.identity,)
        )
        done = self._connection.execute(
            "INSERT INTO entries (identity, state, embedding, time, source, metadata) "
            "VALUES ((SELECT id FROM identities WHERE name = ?), ?, ?, ?, ?, ?)",
            (
                enrolment.identity,
                enrolment.state.name,
                blob,
                enrolment.time,
                enrolment.source,
                metadata,
            ),
        )
        assert done.lastrowid is not None
        return done.lastrowid


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
