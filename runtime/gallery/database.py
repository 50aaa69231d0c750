"""The tables of a gallery in SQLite, what they say of themselves, and errors in plain words."""

from __future__ import annotations

import secrets
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from runtime import sqlite
from runtime.gallery.space import GalleryError, Space
from runtime.gallery.storage import STORAGES, Storage
from runtime.sqlite import DISK_REFUSES, mark, row_digest, transaction

SCHEMA = 2

APPLICATION = 0x444E4742
"""Marks the file as a gallery ("DNGB") in SQLite's header."""

PATIENCE = 5.0
"""Seconds that a writer waits for another."""

TABLES = (
    """CREATE TABLE gallery (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    id BLOB NOT NULL,
    storage TEXT NOT NULL,
    dim INTEGER NOT NULL,
    checkpoint TEXT NOT NULL,
    projection TEXT NOT NULL,
    removals INTEGER NOT NULL,
    last INTEGER NOT NULL,
    count INTEGER NOT NULL,
    total BLOB NOT NULL,
    digest BLOB NOT NULL
)""",
    """CREATE TABLE entries (
    id INTEGER PRIMARY KEY,
    identity TEXT NOT NULL,
    state TEXT NOT NULL,
    embedding BLOB NOT NULL,
    time REAL NOT NULL,
    source TEXT NOT NULL,
    metadata TEXT NOT NULL,
    digest BLOB NOT NULL
)""",
)
"""`gallery` has one row, `Holding`. A digest is over all else in its row; that of an entry is
salted with the gallery's id. There is no index: what is found through one is not to be trusted."""

MEND = "restore a backup"
"""What to do with a gallery that is damaged."""

REASONS = {
    "locked": f"another process is writing to it and was not done in {PATIENCE:.0f} s: try again",
    "full": "the disk is full: make room and try again",
    "disk i/o": DISK_REFUSES,
    "readonly": "it is read-only: to change it, or to undo what a killed process left half done, "
    "its file and folder must be writable",
    "unable to open": "it cannot be opened: its folder must exist and be writable",
    "not a database": "it is not a gallery",
    "malformed": f"it is damaged: {MEND}",
    "could not decode": f"it is damaged: {MEND}",
    "too big": f"it is damaged: {MEND}",
}
"""What SQLite's messages mean, by a part of each."""

LARGEST_DIM = 1 << 20

NOTHING = bytes(sqlite.DIGEST)


@dataclass(frozen=True)
class Holding:
    """What a gallery says of its entries.

    Attributes:
        id: 16 bytes by chance: no two galleries have the same; a copy has that of its original.
        space: what the entries can be compared with; of 0 numbers before the first enrolment.
        storage: how embeddings are stored.
        removals: how often something was removed.
        last: the greatest id that an entry ever had.
        count: how many entries there are.
        total: their digests, joined by exclusive or: what is lost or there twice shows.
    """

    id: bytes
    space: Space
    storage: Storage
    removals: int = 0
    last: int = 0
    count: int = 0
    total: bytes = NOTHING

    @property
    def bare(self) -> bool:
        """Whether nobody was ever enrolled."""
        return self.space.dim == 0

    def with_more(self, last: int, digests: list[bytes]) -> Holding:
        """After an enrolment."""
        return replace(
            self, last=last, count=self.count + len(digests), total=joined(self.total, *digests)
        )

    def with_less(self, digests: list[bytes]) -> Holding:
        """After a removal."""
        return replace(
            self,
            removals=self.removals + 1,
            count=self.count - len(digests),
            total=joined(self.total, *digests),
        )


def joined(*digests: bytes) -> bytes:
    """The exclusive or of digests."""
    number = 0
    for digest in digests:
        number ^= int.from_bytes(digest, "big")
    return number.to_bytes(sqlite.DIGEST, "big")


def in_plain_words(path: Path) -> AbstractContextManager[None]:
    """Tell errors of SQLite as what they mean.

    Raises:
        GalleryError: instead of them; names `path`.
    """
    return sqlite.in_plain_words(path, REASONS, GalleryError)


@contextmanager
def writing(connection: sqlite3.Connection) -> Iterator[None]:
    """All changes within, or none; waits for other writers."""
    with patient(connection), transaction(connection, "IMMEDIATE"):
        # The first page is to be the first that the journal keeps: see `beside`.
        connection.execute(f"PRAGMA user_version = {SCHEMA}")
        yield


@contextmanager
def patient(connection: sqlite3.Connection) -> Iterator[None]:
    """Wait for others within; without, what is locked fails at once."""
    connection.execute(f"PRAGMA busy_timeout = {int(1000 * PATIENCE)}").fetchall()
    try:
        yield
    finally:
        connection.execute("PRAGMA busy_timeout = 0").fetchall()


def is_locked(error: sqlite3.OperationalError) -> bool:
    """Whether another connection is in the way."""
    return "locked" in str(error)


def read_holding(connection: sqlite3.Connection, path: Path) -> Holding:
    """What a gallery says of its entries.

    Raises:
        GalleryError: that is damaged.
    """
    rows = connection.execute(
        "SELECT id, CAST(storage AS BLOB), dim, CAST(checkpoint AS BLOB), "
        "CAST(projection AS BLOB), removals, last, count, total, digest FROM gallery"
    ).fetchmany(2)
    try:
        ((chance, stored, dim, checkpoint, projection, removals, last, count, total, digest),) = (
            rows
        )
        storage = next(known for known in STORAGES if known.encode() == stored)
        space = Space(dim, checkpoint.decode(), projection.decode())
        holding = Holding(chance, space, storage, removals, last, count, total)
        if holding_digest(holding) != digest or not 0 <= dim <= LARGEST_DIM:
            raise ValueError
    except (ValueError, TypeError, AttributeError, StopIteration, struct.error):
        raise GalleryError(
            f"{path}: is damaged: what it says of its entries is not what was written: {MEND}"
        ) from None
    return holding


def write_holding(connection: sqlite3.Connection, holding: Holding) -> None:
    """Say what the entries are, within the transaction that changes them."""
    connection.execute(
        "INSERT OR REPLACE INTO gallery VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        holding_values(holding),
    )


def holding_values(holding: Holding) -> tuple[bytes | str | int, ...]:
    """The columns of what a gallery says of its entries, the checksum last."""
    space = holding.space
    return (
        holding.id,
        holding.storage,
        space.dim,
        space.checkpoint,
        space.projection,
        holding.removals,
        holding.last,
        holding.count,
        holding.total,
        holding_digest(holding),
    )


def holding_digest(holding: Holding) -> bytes:
    """The checksum of what a gallery says of its entries."""
    space = holding.space
    numbers = (space.dim, holding.removals, holding.last, holding.count)
    return row_digest(
        b"",
        holding.id,
        holding.storage.encode(),
        space.checkpoint.encode(),
        space.projection.encode(),
        struct.pack("<4q", *numbers),
        holding.total,
    )


def make_tables(connection: sqlite3.Connection, holding: Holding) -> None:
    """The tables and the marks of a gallery, within a transaction."""
    for statement in TABLES:
        connection.execute(statement)
    write_holding(connection, holding)
    mark(connection, APPLICATION, SCHEMA)
    set_apart(connection)


def set_apart(connection: sqlite3.Connection) -> None:
    """Tell this file from any other in SQLite's header, so that no journal is taken for its own.

    SQLite only asks that the number changes when tables do.
    """
    connection.execute(f"PRAGMA schema_version = {1 + secrets.randbelow(1 << 30)}")


def new_holding() -> Holding:
    """What a gallery says in which nobody is enrolled yet."""
    return Holding(secrets.token_bytes(16), Space(0, "", ""), "float16")
