"""The SQLite file of a gallery: its tables, its settings, and its errors in plain words."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from runtime.gallery.space import GalleryError, Space
from runtime.gallery.storage import STORAGES, Storage

SCHEMA = 1

APPLICATION = 0x444E4742
"""Marks the file as a gallery ("DNGB") in SQLite's header."""

PATIENCE = 5.0
"""Seconds that a writer waits for another."""

TABLES = """
CREATE TABLE gallery (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    storage TEXT NOT NULL,
    dim INTEGER NOT NULL,
    checkpoint TEXT NOT NULL,
    projection TEXT NOT NULL,
    removals INTEGER NOT NULL
);
CREATE TABLE identities (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE
);
CREATE TABLE entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    identity INTEGER NOT NULL REFERENCES identities,
    state TEXT NOT NULL,
    embedding BLOB NOT NULL,
    time REAL NOT NULL,
    source TEXT NOT NULL,
    metadata TEXT NOT NULL
);
CREATE INDEX entries_of_identity ON entries (identity);
"""
"""`gallery` has its row, and with it the space and the storage, from the first enrolment on.
`removals` counts, so that other processes notice. AUTOINCREMENT: no id is ever used twice."""

REASONS = {
    "locked": f"another process is writing to it and was not done in {PATIENCE:.0f} s: try again",
    "full": "the disk is full: make room and try again",
    "disk i/o": "the disk refuses: it may be full, or a limit on file sizes reached",
    "readonly": "it is read-only: a gallery needs a file and a folder that can be written",
    "unable to open": "it cannot be opened: its folder must exist and be writable",
    "not a database": "it is not a gallery",
    "malformed": "it is damaged: restore a copy",
}
"""What SQLite's messages mean, by a part of each."""


@dataclass(frozen=True)
class Holding:
    """What all entries of a gallery have in common; there is none before the first enrolment.

    Attributes:
        space: what they can be compared with.
        storage: how embeddings are stored.
        removals: how often something was removed.
    """

    space: Space
    storage: Storage
    removals: int


@contextmanager
def in_plain_words(path: Path) -> Iterator[None]:
    """Tell errors of SQLite as what they mean.

    Raises:
        GalleryError: instead of them; names `path`.
    """
    try:
        yield
    except sqlite3.Error as error:
        text = str(error).lower()
        reason = next((words for part, words in REASONS.items() if part in text), str(error))
        raise GalleryError(f"{path}: {reason}") from None


def connect(path: Path, *, create: bool) -> sqlite3.Connection:
    """Open the file of a gallery, or make it.

    Args:
        path: the file.
        create: make it where it is not there.

    Raises:
        GalleryError: it is not there, no gallery, of a future schema, or cannot be opened.
    """
    if path.is_dir():
        raise GalleryError(f"{path}: is a folder: name a file, such as {path / 'gallery.db'}")
    if not path.exists():
        if not create:
            raise GalleryError(
                f"{path}: there is no such gallery (make one with `denet gallery enrol`)"
            )
        _make_private(path)
    with in_plain_words(path):
        # Transactions are begun and ended by name; calls take turns under the gallery's lock.
        connection = sqlite3.connect(
            path, timeout=PATIENCE, isolation_level=None, check_same_thread=False
        )
        try:
            _prepare(connection, path, create)
        except BaseException:
            connection.close()
            raise
        return connection


@contextmanager
def transaction(connection: sqlite3.Connection, kind: str) -> Iterator[None]:
    """All statements within, or none.

    Args:
        connection: to the file.
        kind: "IMMEDIATE" to write: it waits for other writers at once, not at the first change,
            where SQLite could only give up; "DEFERRED" to read what belongs together.
    """
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A full disk may have rolled it back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def read_holding(connection: sqlite3.Connection, path: Path) -> Holding | None:
    """What the entries have in common; None before the first enrolment.

    Raises:
        GalleryError: they are stored in a way that this version does not know.
    """
    row = connection.execute(
        "SELECT dim, checkpoint, projection, storage, removals FROM gallery"
    ).fetchone()
    if row is None:
        return None
    storage = next((known for known in STORAGES if known == row[3]), None)
    if storage is None:
        raise GalleryError(f"{path}: is damaged: stores embeddings as {row[3]!r}")
    return Holding(Space(*row[:3]), storage, row[4])


def write_holding(connection: sqlite3.Connection, holding: Holding) -> None:
    """Say what the entries have in common, within the transaction of the first of them."""
    space = holding.space
    connection.execute(
        "INSERT INTO gallery (one, dim, checkpoint, projection, storage, removals) "
        "VALUES (1, ?, ?, ?, ?, ?)",
        (space.dim, space.checkpoint, space.projection, holding.storage, holding.removals),
    )


def _make_private(path: Path) -> None:
    """An empty file that only its owner can read: embeddings of people are personal data."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:  # another process was faster
        return
    except OSError as error:
        raise GalleryError(f"{path}: cannot be made: {error.strerror or error}") from None


def _prepare(connection: sqlite3.Connection, path: Path, create: bool) -> None:
    if _is_empty(connection):
        if not create:
            raise GalleryError(f"{path}: is empty: nobody is enrolled yet")
        _keep_a_log(connection)
        with transaction(connection, "IMMEDIATE"):
            if _is_empty(connection):  # still: another process may have been faster
                for statement in TABLES.split(";\n"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {APPLICATION}")
                connection.execute(f"PRAGMA user_version = {SCHEMA}")
    if _number(connection, "application_id") != APPLICATION:
        raise GalleryError(f"{path}: is not a gallery, but another program's SQLite file")
    if (schema := _number(connection, "user_version")) != SCHEMA:
        raise GalleryError(
            f"{path}: gallery schema {schema}, but this version of denet reads {SCHEMA}: install "
            "the denet that wrote it"
        )
    # WAL with FULL syncs at every commit: what is acknowledged lasts.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    # What is removed is overwritten, not only unlinked.
    connection.execute("PRAGMA secure_delete = ON")


def _keep_a_log(connection: sqlite3.Connection) -> None:
    """Have a write-ahead log. SQLite waits for nobody here, because two processes that both read
    the file and want to switch it would wait for each other: the second tries again."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
        time.sleep(0.005)


def _is_empty(connection: sqlite3.Connection) -> bool:
    return _number(connection, "page_count") == 0 or (
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    )


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])
