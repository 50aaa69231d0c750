"""Galleries of the schema before this one, which had no checksums and a write-ahead log.

The first command or node that opens one takes it over: all that is in it is read and checked for
meaning, and goes into the tables of today, in one transaction. Until that is done, the file is what
it was. An earlier denet refuses it afterwards.
"""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from math import isfinite
from pathlib import Path
from unicodedata import normalize

import msgspec

from runtime.gallery.database import (
    APPLICATION,
    LARGEST_DIM,
    MEND,
    Holding,
    is_locked,
    make_tables,
    new_holding,
    write_holding,
)
from runtime.gallery.rows import INSERT, Content, Stored, checked, entry_digest
from runtime.gallery.space import GalleryError, Space
from runtime.gallery.storage import STORAGES
from runtime.sqlite import has_tables, keep_journal, pragma, setting, structure_fault, transaction
from runtime.sqlite_header import USER_VERSION, is_of, number

SCHEMA = 1

TABLES = (
    """CREATE TABLE gallery (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    storage TEXT NOT NULL,
    dim INTEGER NOT NULL,
    checkpoint TEXT NOT NULL,
    projection TEXT NOT NULL,
    removals INTEGER NOT NULL
)""",
    """CREATE TABLE identities (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE
)""",
    """CREATE TABLE entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    identity INTEGER NOT NULL REFERENCES identities,
    state TEXT NOT NULL,
    embedding BLOB NOT NULL,
    time REAL NOT NULL,
    source TEXT NOT NULL,
    metadata TEXT NOT NULL
)""",
    "CREATE INDEX entries_of_identity ON entries (identity)",
)

ROWS = 1000
"""Moved at once: what they leave free holds the next, so the file hardly grows."""


def is_one(head: bytes) -> bool:
    """Whether the header of a file is that of such a gallery."""
    return is_of(head, APPLICATION) and number(head, USER_VERSION) == SCHEMA


def untouched(path: Path) -> GalleryError:
    """Why one is not taken over by who may only look at it."""
    return GalleryError(
        f"{path}: an earlier denet made it: the next command or node that opens it takes it over, "
        "such as `denet gallery list`"
    )


def take_over(connection: sqlite3.Connection, path: Path) -> None:
    """Make a gallery of the earlier schema one of today, or leave it as it is.

    Raises:
        GalleryError: it is damaged, or another process has it open.
        sqlite3.Error: it cannot be written.
    """
    if not (has_tables(connection, TABLES) and setting(connection, "encoding") == "UTF-8"):
        raise GalleryError(f"{path}: is damaged, or changed by another program: {MEND}")
    try:
        keep_journal(connection)
    except sqlite3.OperationalError as error:
        if not is_locked(error):
            raise
        raise GalleryError(
            f"{path}: an earlier denet has it open: stop that, for this one to take it over"
        ) from None
    with transaction(connection, "IMMEDIATE"):
        if pragma(connection, "user_version") == SCHEMA:  # still: another may have been faster
            connection.execute(f"PRAGMA user_version = {SCHEMA}")  # see `database.writing`
            _move(connection, path)


def _move(connection: sqlite3.Connection, path: Path) -> None:
    fault = structure_fault(connection)
    if fault is not None:
        raise GalleryError(f"{path}: is damaged: {fault}: {MEND}")
    holding = _holding(connection, path)
    found = connection.execute("SELECT max(seq) FROM sqlite_sequence WHERE name = 'entries'")
    last = int(found.fetchone()[0] or 0)
    names = dict(connection.execute("SELECT id, CAST(name AS BLOB) FROM identities"))
    (count,) = connection.execute("SELECT count(*) FROM entries").fetchone()
    for statement in ("DROP INDEX entries_of_identity", "ALTER TABLE entries RENAME TO moved"):
        connection.execute(statement)
    for table in ("gallery", "identities"):
        connection.execute(f"DROP TABLE {table}")
    make_tables(connection, holding)
    while rows := connection.execute(
        "SELECT id, identity, CAST(state AS BLOB), embedding, time, CAST(source AS BLOB), "
        "CAST(metadata AS BLOB) FROM moved ORDER BY id LIMIT ?",
        (ROWS,),
    ).fetchall():
        stored = [_stored((row[0], names.get(row[1]), *row[2:]), holding, path) for row in rows]
        checked(stored, holding, path)
        connection.executemany(
            INSERT,
            stored,
        )
        connection.execute("DELETE FROM moved WHERE id <= ?", (rows[-1][0],))
        holding = holding.with_more(max(last, rows[-1][0]), [row[7] for row in stored])
    connection.execute("DROP TABLE moved")
    if holding.count != count:
        raise GalleryError(
            f"{path}: is damaged: it has {count} entries, not all can be read: {MEND}"
        )
    write_holding(connection, replace(holding, last=max(last, holding.last)))


def _holding(connection: sqlite3.Connection, path: Path) -> Holding:
    rows = connection.execute("SELECT dim, checkpoint, projection, storage FROM gallery").fetchall()
    if not rows:
        return new_holding()
    dim, checkpoint, projection, named = rows[0]
    storage = next((known for known in STORAGES if known == named), None)
    texts = isinstance(checkpoint, str) and isinstance(projection, str)
    if storage is None or not texts or not (isinstance(dim, int) and 0 < dim <= LARGEST_DIM):
        raise GalleryError(f"{path}: is damaged: stores embeddings as {named!r}: {MEND}")
    return replace(new_holding(), space=Space(dim, checkpoint, projection), storage=storage)


def _stored(row: tuple, holding: Holding, path: Path) -> Stored:  # type: ignore[type-arg]
    number, identity, state, embedding, time, source, metadata = row
    try:
        name = normalize("NFC", identity.decode())
        if not (name and isfinite(time)):
            raise ValueError
        source.decode()
        msgspec.json.decode(metadata, type=dict)
        content: Content = (number, name.encode(), state, embedding, time, source, metadata)
        return *content, entry_digest(holding.id, content)
    except (AttributeError, TypeError, ValueError, msgspec.DecodeError):
        raise GalleryError(f"{path}: entry {number} is damaged: {MEND}") from None
