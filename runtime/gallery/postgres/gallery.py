"""A gallery in PostgreSQL, searched in a copy in memory or in the database."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from denet.graph import State
from runtime.closing import Closing
from runtime.gallery.base import Enrolment, Entry, Match
from runtime.gallery.checks import check_search
from runtime.gallery.database import Holding
from runtime.gallery.managed import Erased, filled, unknown
from runtime.gallery.names import spelled
from runtime.gallery.postgres.address import GalleryAddress
from runtime.gallery.postgres.approximate import Recall, make_indexes, measure_recall
from runtime.gallery.postgres.erasing import rewritten
from runtime.gallery.postgres.following import Follower
from runtime.gallery.postgres.guard import Guard
from runtime.gallery.postgres.holding import read_holding, update_holding
from runtime.gallery.postgres.rows import read_rows, write_rows
from runtime.gallery.postgres.searching import search_in_database, use_indexes
from runtime.gallery.postgres.tables import LARGEST_DIM, found, give_roles, make_tables
from runtime.gallery.rows import Enrolments, EntryRows, digests_of, proven, sealed_rows
from runtime.gallery.scores import Scores
from runtime.gallery.space import GalleryError, Space
from runtime.gallery.storage import Storage
from runtime.postgres.connecting import GONE, Connection, connect, in_plain_words
from runtime.postgres.transactions import snapshot

DEFAULT: Storage = "float16"

ANSWER = 30.0
"""Seconds for a search in the database."""


def reach(address: GalleryAddress) -> None:
    """See that the database can be reached, and that nothing else is where a gallery would be.

    Raises:
        GalleryError: it is not so.
    """
    with in_plain_words(address, GalleryError), connect(address) as connection:
        found(connection, address)


class PostgresGallery(Closing):
    """A `base.Gallery` in PostgreSQL.

    Args:
        address: of it.
        create: make its tables where they are not there.
        storage: how embeddings are stored; None for what it has, or `DEFAULT`. Tables have one
            from when they are made.

    Raises:
        GalleryError: it cannot be reached, is not there, or stores otherwise.
    """

    def __init__(
        self, address: GalleryAddress, *, create: bool = False, storage: Storage | None = None
    ) -> None:
        self.address = address
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._follower: Follower | None = None
        self._guard: Guard | None = None
        try:
            with self._connected() as connection:
                if create and not found(connection, address):
                    make_tables(connection, address, storage or DEFAULT)
                self._there(connection)
                holding = read_holding(connection, address)
                if storage not in (None, holding.storage):
                    raise GalleryError(
                        f"{address.name}: stores {holding.storage}, not {storage}: leave that out, "
                        "or enrol into another gallery"
                    )
        except BaseException:
            self.close()
            raise

    @property
    def stale(self) -> str:
        """See `base.Gallery`."""
        return "" if self._follower is None else self._follower.away

    def enrol(self, space: Space, enrolments: Sequence[Enrolment]) -> list[int]:
        """See `base.Gallery`."""
        if not enrolments:
            return []
        wanted = Enrolments(space, enrolments)
        self._check(space, enrolments)
        with self._writing() as (connection, holding):
            if holding.bare:
                holding = replace(holding, space=space)
            holding.space.require(space, self.address.name)
            rows = sealed_rows(holding, wanted.contents(holding))
            write_rows(connection, holding, rows)
            update_holding(connection, holding.with_more(rows[-1][0], digests_of(rows)))
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
        if self.address.search != "mirror":
            return self._search_there(space, queries, states, top, scores)
        with self._lock, in_plain_words(self.address, GalleryError):
            if self._follower is None:
                connection = self._connection or connect(self.address)
                self._connection, self._follower = None, Follower(self.address, connection)
            mirror = self._follower.mirror()
            if mirror is None:
                return [[] for _ in states]
            mirror.holding.space.require(space, self.address.name)
            return mirror.search(queries, states, top, scores)

    def entries(self, identity: str | None = None) -> list[Entry]:
        """See `base.Gallery`."""
        name = None if identity is None else spelled(identity).encode()
        kept: list[Entry] = []
        with self.whole() as (holding, rows):
            for some in rows:
                kept += some.entries(holding.space, name)
        return kept

    def remove(self, identity: str, entry: int | None = None) -> int:
        """See `base.Gallery`."""
        name = spelled(identity)
        gone = self._forget(
            "identity = %(name)s AND (%(entry)s::bigint IS NULL OR id = %(entry)s)",
            {"name": name, "entry": entry},
        )
        if not gone:
            raise unknown(self.address.name, name, entry)
        return len(gone)

    def check(self) -> int:
        """See `managed.ManagedGallery`."""
        with self.whole() as (holding, rows):
            for _ in rows:
                pass
            return holding.count

    def expire(self, before: float) -> int:
        """See `managed.ManagedGallery`."""
        return len(self._forget("time < %(before)s", {"before": before}))

    def erase(self, identity: str) -> Erased:
        """See `managed.ManagedGallery`."""
        name = spelled(identity)
        gone = self._forget("identity = %(name)s", {"name": name})
        if not gone:
            raise unknown(self.address.name, name, None)
        with self._connected() as connection:
            return rewritten(connection, len(gone), sorted(set(gone)))

    @contextmanager
    def whole(self) -> Iterator[tuple[Holding, Iterator[EntryRows]]]:
        """See `managed.ManagedGallery`; the entries are proven when all of them were read."""
        with self._connected() as connection, snapshot(connection):
            holding = read_holding(connection, self.address)
            rows = read_rows(connection, holding, self.address)
            yield holding, proven(rows, holding, self.address.name)

    def fill(self, like: Holding, rows: Iterable[EntryRows]) -> int:
        """See `managed.ManagedGallery`."""
        with self._writing() as (connection, bare):
            if not like.bare and like.storage != bare.storage:
                raise GalleryError(
                    f"{self.address.name}: stores {bare.storage}, not {like.storage}: copy into "
                    "another gallery"
                )
            holding = filled(bare, replace(like, storage=bare.storage), self.address.name)
            self._check(holding.space, ())
            for some in rows:
                new = sealed_rows(holding, (row[:7] for row in some.stored))
                write_rows(connection, holding, new)
                holding = holding.with_more(holding.last, digests_of(new))
            update_holding(connection, holding)
        return holding.count

    def give_roles(self, reads: str, enrols: str) -> list[str]:
        """See `tables.give_roles`.

        Raises:
            GalleryError: it cannot be done.
        """
        with self._connected() as connection:
            return give_roles(connection, self.address, reads, enrols)

    def index(self, queries: int) -> Recall:
        """Make indexes for approximate search, and measure by so many searches what it misses.

        Raises:
            GalleryError: there can be none.
        """
        with self._connected() as connection:
            holding = read_holding(connection, self.address)
            make_indexes(connection, holding, self.address)
            return measure_recall(connection, holding, self.address, queries)

    def close(self) -> None:
        """See `base.Gallery`."""
        with self._lock:
            for held in (self._follower, self._guard, self._connection):
                if held is not None:
                    held.close()
            self._follower = self._guard = self._connection = None

    def _check(self, space: Space, enrolments: Sequence[Enrolment]) -> None:
        if space.dim > LARGEST_DIM:
            raise GalleryError(
                f"embeddings of {space.dim} numbers: PostgreSQL takes {LARGEST_DIM}: make them "
                "shorter with `denet project`"
            )
        for enrolment in enrolments:
            if "\0" in enrolment.source:
                raise GalleryError(
                    f"identity {enrolment.identity!r}: its source has the character NUL in it"
                )

    def _there(self, connection: Connection) -> None:
        if not found(connection, self.address):
            raise GalleryError(
                f"{self.address.name}: there is no such gallery (make one with `denet gallery "
                "enrol`, as a user who may make tables)"
            )

    def _search_there(
        self,
        space: Space,
        queries: NDArray[np.float32],
        states: Sequence[State],
        top: int,
        scores: Scores | None,
    ) -> list[list[Match]]:
        with self._connected() as connection:
            if self._guard is None:
                self._guard = Guard(ANSWER, lambda: None)
            with self._guard.watching(connection), snapshot(connection):
                holding = read_holding(connection, self.address)
                if holding.bare:
                    return [[] for _ in states]
                holding.space.require(space, self.address.name)
                if self.address.search == "approximate":
                    use_indexes(connection, self.address)
                matches = []
                for query, state in zip(queries, states, strict=True):
                    self._guard.progress(ANSWER)
                    matches.append(
                        search_in_database(
                            connection, holding, self.address, query, state, top, scores
                        )
                    )
                return matches

    def _forget(self, which: str, values: dict[str, object]) -> list[str]:
        """Remove the entries for which a condition holds; the partition of each."""
        with self._writing() as (connection, holding):
            gone = connection.execute(
                f"DELETE FROM entries WHERE {which} RETURNING digest, tableoid::regclass::text",
                values,
            ).fetchall()
            if gone:
                update_holding(connection, holding.with_less([bytes(row[0]) for row in gone]))
        return [row[1] for row in gone]

    @contextmanager
    def _writing(self) -> Iterator[tuple[Connection, Holding]]:
        """All changes within, or none; others wait."""
        ending = False
        with self._connected() as connection:
            try:
                with connection.transaction():
                    yield connection, read_holding(connection, self.address, lock=True)
                    ending = True
            except GONE:
                if ending and connection.closed:
                    raise GalleryError(
                        f"{self.address.name}: the database was gone before it said whether it "
                        "has kept this: see `denet gallery list`, and do it again if it has not"
                    ) from None
                raise

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        """A connection that works, for one call."""
        with self._lock, in_plain_words(self.address, GalleryError):
            connection = self._connection
            if connection is not None:
                try:
                    connection.execute("SELECT")
                except GONE:
                    connection.close()
                    connection = None
            if connection is None:
                connection = self._connection = connect(self.address)
            try:
                yield connection
            except GONE:
                connection.close()
                self._connection = None
                raise
