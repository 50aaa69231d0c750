"""Opens the file of a gallery: sees that it is one, and sets what SQLite is to do with it.

A rollback journal, and no write-ahead log: between two transactions the file alone is the gallery,
and it can be copied, moved and replaced as any other file.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from runtime import sqlite
from runtime.gallery import database, earlier
from runtime.gallery.database import (
    APPLICATION,
    MEND,
    SCHEMA,
    TABLES,
    in_plain_words,
    make_tables,
    new_holding,
)
from runtime.gallery.space import GalleryError
from runtime.sqlite import has_tables, keep_journal, pragma, setting, transaction


def connect(path: Path, *, create: bool = False, read_only: bool = False) -> sqlite3.Connection:
    """Open the file of a gallery, which is there.

    Args:
        path: the file.
        create: make an empty file one.
        read_only: leave the file as it is; one of an earlier denet is refused.

    Raises:
        GalleryError: it is no gallery, of another schema, damaged, or cannot be opened.
    """
    with in_plain_words(path):
        # Calls take turns under the gallery's lock.
        return sqlite.connect(
            path,
            lambda new: _prepare(new, path, create, read_only),
            patience=database.PATIENCE,
            read_only=read_only,
        )


def _prepare(connection: sqlite3.Connection, path: Path, create: bool, read_only: bool) -> None:
    if _is_empty(connection):
        if not create:
            raise GalleryError(f"{path}: is empty: nobody is enrolled yet")
        with transaction(connection, "IMMEDIATE"):
            if _is_empty(connection):  # still: another process may have been faster
                make_tables(connection, new_holding())
    if pragma(connection, "application_id") != APPLICATION:
        raise GalleryError(f"{path}: is not a gallery, but another program's SQLite file")
    if pragma(connection, "user_version") == earlier.SCHEMA:
        if read_only:
            raise earlier.untouched(path)
        earlier.take_over(connection, path)
    if (schema := pragma(connection, "user_version")) != SCHEMA:
        raise GalleryError(
            f"{path}: gallery schema {schema}, but this version of denet reads {SCHEMA}: install "
            "the denet that wrote it"
        )
    if not (has_tables(connection, TABLES) and setting(connection, "encoding") == "UTF-8"):
        raise GalleryError(f"{path}: is damaged, or changed by another program: {MEND}")
    keep_journal(connection)
    # The folder is synced, too, when a journal is gone: what is acknowledged lasts.
    connection.execute("PRAGMA synchronous = EXTRA")
    # What is removed is overwritten, not only unlinked.
    connection.execute("PRAGMA secure_delete = ON").fetchall()
    connection.execute("PRAGMA busy_timeout = 0").fetchall()


def _is_empty(connection: sqlite3.Connection) -> bool:
    return pragma(connection, "page_count") == 0 or (
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    )
