"""The table of the messages that wait in an outbox: a checksum in each row, and what to do about
damage.

A row whose checksum is wrong is given out as damaged, and the others go on. If pages of the file
are damaged, its rows that are whole go into a new file, and the old one is kept beside it.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from runtime.sqlite import connect, has_tables, mark, pragma, row_digest, structure_fault

APPLICATION = 0x444E4F42
"""Marks the file as an outbox ("DNOB") in SQLite's header."""

SCHEMA = 2

EARLIER = 1
"""Had no checksums."""

LETTERS = (
    "CREATE TABLE letters (number INTEGER PRIMARY KEY, topic TEXT NOT NULL, body BLOB NOT NULL, "
    "digest BLOB NOT NULL)"
)
ASIDE = "CREATE TABLE aside (number INTEGER PRIMARY KEY, time REAL NOT NULL, reason TEXT NOT NULL)"

ROWS = 100
"""Moved at once to the table of today."""

Letter = tuple[int, str, bytes]
"""Number, topic and body."""


class DamagedFileError(sqlite3.DatabaseError):
    """A file whose pages are damaged."""


def make_tables(connection: sqlite3.Connection) -> None:
    """The tables of a new outbox, within a transaction."""
    connection.execute(LETTERS)
    connection.execute(ASIDE)
    mark(connection, APPLICATION, SCHEMA)


def check_pages(connection: sqlite3.Connection) -> None:
    """See that a file of today is whole but for what is in its rows. Reads all of it.

    Raises:
        DamagedFileError: it is not.
    """
    fault = structure_fault(connection)
    if fault is not None or not has_tables(connection, (LETTERS, ASIDE)):
        raise DamagedFileError(fault or "malformed: other tables")


def take_over(connection: sqlite3.Connection) -> None:
    """Give the rows of an earlier outbox checksums, within a transaction."""
    connection.execute("ALTER TABLE letters RENAME TO earlier")
    connection.execute(LETTERS)
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'aside'").fetchone():
        connection.execute(ASIDE)
    while rows := connection.execute(
        "SELECT number, topic, body FROM earlier ORDER BY number LIMIT ?", (ROWS,)
    ).fetchall():
        for row in rows:
            insert(connection, row)
        connection.execute("DELETE FROM earlier WHERE number <= ?", (rows[-1][0],))
    connection.execute("DROP TABLE earlier")
    mark(connection, APPLICATION, SCHEMA)


def insert(connection: sqlite3.Connection, letter: Letter) -> None:
    """Add a row."""
    number, topic, body = letter
    digest = _digest(number, topic.encode(), body)
    connection.execute("INSERT INTO letters VALUES (?, ?, ?, ?)", (number, topic, body, digest))


def read(connection: sqlite3.Connection, number: int) -> Letter:
    """A row.

    Raises:
        ValueError: it is not what was written.
        sqlite3.Error: it cannot be read.
    """
    row = connection.execute(
        "SELECT number, CAST(topic AS BLOB), body, digest FROM letters WHERE number = ?", (number,)
    ).fetchone()
    return _whole(row)


def rescue(path: Path) -> tuple[list[Letter], Path]:
    """Move a damaged file and its log away.

    Returns:
        The rows that are whole and can still be read, and where the file is now.

    Raises:
        OSError: it cannot be moved.
    """
    letters: dict[int, Letter] = {}
    # A page that cannot be read hides what comes after it, from either side.
    for order in ("ASC", "DESC"):
        with (
            suppress(sqlite3.Error, UnicodeDecodeError),
            closing(connect(path, _exclusive, patience=0.0)) as found,
        ):
            for row in found.execute(
                "SELECT rowid, CAST(topic AS BLOB), body, digest FROM letters "
                f"ORDER BY rowid {order}"
            ):
                with suppress(ValueError):
                    letters[row[0]] = _whole(row)
    number = 1
    while (moved := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    for end in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            path.with_name(path.name + end).rename(moved.with_name(moved.name + end))
    return sorted(letters.values()), moved


def is_earlier(connection: sqlite3.Connection) -> bool:
    """Whether an outbox has no checksums yet."""
    return pragma(connection, "user_version") == EARLIER


def _exclusive(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()


def _whole(row: tuple[int, bytes, bytes, bytes] | None) -> Letter:
    if row is None or not all(isinstance(value, bytes) for value in row[1:]):
        raise ValueError("it is not what was written")
    number, topic, body, digest = row
    if _digest(number, topic, body) != digest:
        raise ValueError("it is not what was written")
    return number, topic.decode(), body


def _digest(number: int, topic: bytes, body: bytes) -> bytes:
    return row_digest(b"", number.to_bytes(8, "little", signed=True), topic, body)
