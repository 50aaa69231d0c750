"""A copy of a central gallery in memory that follows it, and outlives the way to it.

Before a search it takes over what was written since, in one look where nothing was. If the database
cannot be reached it is searched as it is, a thread connects anew, and the next search after that
takes over what was missed. What has come is proven against the checksum of all entries that the
gallery has, so nothing can be missed in silence.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import psycopg
from numpy.typing import NDArray

from runtime.gallery.database import Holding
from runtime.gallery.mirror import Mirror
from runtime.gallery.postgres.address import GalleryAddress
from runtime.gallery.postgres.guard import Guard
from runtime.gallery.postgres.holding import read_holding
from runtime.gallery.postgres.rows import read_ids, read_rows
from runtime.gallery.rows import EntryRows
from runtime.gallery.space import GalleryError
from runtime.postgres.connecting import GONE, Connection, connect, reason
from runtime.postgres.transactions import snapshot

ANSWER = 1.0
"""Seconds that a search waits for the database before it goes on without."""

READ = 30.0
"""Seconds in which some of the entries must come, once there are new ones."""

PAUSES = (0.2, 15.0)
"""Seconds between two tries to connect: the first, and the longest."""


class Follower:
    """A `Mirror` of a gallery in PostgreSQL. One call at a time.

    Attributes:
        away: why the database cannot be reached, so that what is found may be old; "" if it can.

    Args:
        address: of the gallery.
        connection: to it.
    """

    def __init__(self, address: GalleryAddress, connection: Connection) -> None:
        self.away = ""
        self._address = address
        self._connection: Connection | None = connection
        self._fresh: Connection | None = None  # for the next look
        self._lock = threading.Lock()  # of the two
        self._mirror: Mirror | None = None
        self._failed: tuple[Holding, GalleryError] | None = None
        self._pause, self._next = PAUSES[0], 0.0
        self._guard = Guard(ANSWER, self._reconnect)

    def mirror(self) -> Mirror | None:
        """All embeddings, as they are now, or were when the database was last seen; None before
        the first enrolment.

        Raises:
            GalleryError: the gallery is damaged, gone, or was never read.
            psycopg.Error: it may not be read any more.
        """
        connection = self._current()
        if connection is not None:
            try:
                with self._guard.watching(connection):
                    self._look(connection)
                self.away = ""
            except GONE as error:
                self._lose(connection, error)
        if self.away and self._mirror is None:
            raise GalleryError(f"{self._address.name}: {self.away}")
        return self._mirror

    def close(self) -> None:
        """Let go of memory and connections."""
        self._guard.close()
        self._drop()
        with self._lock:
            for connection in (self._connection, self._fresh):
                if connection is not None:
                    connection.close()
            self._connection = self._fresh = None

    def _look(self, connection: Connection) -> None:
        holding = read_holding(connection, self._address)
        if self._mirror is not None and self._mirror.holding == holding:
            return
        if self._failed is not None and self._failed[0] == holding:
            raise self._failed[1]  # reading all of it again would end the same
        self._failed = None
        with snapshot(connection):
            holding = read_holding(connection, self._address)
            try:
                self._take_over(connection, holding)
            except GalleryError as error:
                self._drop()
                self._failed = (holding, error)
                raise

    def _take_over(self, connection: Connection, holding: Holding) -> None:
        source = _Source(connection, holding, self._address, self._guard)
        mirror = self._mirror
        if mirror is not None:
            if mirror.catches_up(lambda: source.whole(mirror), holding):
                return
            self._drop()
        if not holding.bare:
            self._mirror = Mirror.read(source, holding, self._address.name)

    def _drop(self) -> None:
        if self._mirror is not None:
            self._mirror.index.close()
        self._mirror = None

    def _current(self) -> Connection | None:
        with self._lock:
            if self._fresh is not None:
                self._connection, self._fresh = self._fresh, None
            return self._connection

    def _lose(self, connection: Connection, error: psycopg.Error) -> None:
        self.away = f"the database cannot be reached: {reason(error)}"
        connection.close()
        with self._lock:
            self._connection = None
        self._pause, self._next = PAUSES[0], 0.0

    def _reconnect(self) -> None:
        """Of the guard's thread, again and again."""
        with self._lock:
            there = self._connection is not None or self._fresh is not None
        if there or time.monotonic() < self._next:
            return
        try:
            fresh = connect(self._address)
        except psycopg.Error:
            # Nodes that lost one server do not all come back at the same moment.
            self._next = time.monotonic() + self._pause * random.uniform(0.5, 1)
            self._pause = min(2 * self._pause, PAUSES[1])
            return
        with self._lock:
            self._fresh = fresh


@dataclass(frozen=True)
class _Source:
    """The gallery within a transaction."""

    connection: Connection
    holding: Holding
    address: GalleryAddress
    guard: Guard

    def ids(self) -> NDArray[np.int64]:
        self.guard.progress(READ)
        return read_ids(self.connection)

    def rows(self, after: int) -> Iterator[EntryRows]:
        self.guard.progress(READ)
        for rows in read_rows(self.connection, self.holding, self.address, after):
            yield rows
            self.guard.progress(READ)

    def whole(self, mirror: Mirror) -> _Fetched:
        """All that `mirror` lacks, read before it is changed: the way here may end half-way."""
        last = int(mirror.index.entries[-1]) if len(mirror.index) else 0
        removed = mirror.holding.removals != self.holding.removals
        ids = self.ids() if removed else np.empty(0, np.int64)
        if removed:
            kept = mirror.index.entries[np.isin(mirror.index.entries, ids)]
            last = int(kept[-1]) if len(kept) else 0
        return _Fetched(ids, list(self.rows(last)))


@dataclass(frozen=True)
class _Fetched:
    """What was read of a gallery."""

    there: NDArray[np.int64]
    found: list[EntryRows]

    def ids(self) -> NDArray[np.int64]:
        return self.there

    def rows(self, after: int) -> Iterator[EntryRows]:
        return (rows for rows in self.found if rows.stored[-1][0] > after)
