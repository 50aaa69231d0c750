"""The SQLite file of a gallery: its tables, its settings, and its errors in plain words."""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from runtime import sqlite
from runtime.gallery.space import GalleryError, Space
from runtime.gallery.storage import STORAGES, Storage
from runtime.sqlite import DISK_REFUSES, keep_log, make_private, mark, pragma, transaction

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
    "disk i/o": DISK_REFUSES,
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


def in_plain_words(path: Path) -> AbstractContextManager[None]:
    """Tell errors of SQLite as what they mean.

    Raises:
        GalleryError: instead of them; names `path`.
    """
    return sqlite.in_plain_words(path, REASONS, GalleryError)


def connect(path: Path, *, create: bool, read_only: bool = False) -> sqlite3.Connection:
    """Open the file of a gallery, or make it.

    Args:
        path: the file.
        create: make it where it is not there.
        read_only: leave it as it is.

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
        try:
            make_private(path)
        except OSError as error:
            raise GalleryError(f"{path}: cannot be made: {error.strerror or error}") from None
    with in_plain_words(path):
        # Calls take turns under the gallery's lock.
        return sqlite.connect(
            path,
            lambda new: _prepare(new, path, create),
            patience=PATIENCE,
            read_only=read_only,
        )


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


def _prepare(connection: sqlite3.Connection, path: Path, create: bool) -> None:
    if _is_empty(connection):
        if not create:
            raise GalleryError(f"{path}: is empty: nobody is enrolled yet")
        keep_log(connection, PATIENCE)
        with transaction(connection, "IMMEDIATE"):
            if _is_empty(connection):  # still: another process may have been faster
                for statement in TABLES.split(";\n"):
                    connection.execute(statement)
                mark(connection, APPLICATION, SCHEMA)
    if pragma(connection, "application_id") != APPLICATION:
        raise GalleryError(f"{path}: is not a gallery, but another program's SQLite file")
    if (schema := pragma(connection, "user_version")) != SCHEMA:
        raise GalleryError(
            f"{path}: gallery schema {schema}, but this version of denet reads {SCHEMA}: install "
            "the denet that wrote it"
        )
    # WAL with FULL syncs at every commit: what is acknowledged lasts.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    # What is removed is overwritten, not only unlinked.
    connection.execute("PRAGMA secure_delete = ON")


def _is_empty(connection: sqlite3.Connection) -> bool:
    return pragma(connection, "page_count") == 0 or (
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    )
