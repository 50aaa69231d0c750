"""SQLite files that denet keeps: opening, settings, transactions, and errors in plain words."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from denet.errors import DenetError

DISK_REFUSES = "the disk refuses: it may be full, or a limit on file sizes reached"

RETRY = 0.005
"""Seconds between two tries to switch a file to its log."""

LONGEST = 16 << 20
"""Bytes of a value or a row, at most; nothing of ours comes near."""

DIGEST = 16
"""Bytes of a checksum."""


@contextmanager
def in_plain_words(
    path: Path, reasons: Mapping[str, str], error: Callable[[str], DenetError]
) -> Iterator[None]:
    """Tell errors of SQLite as what they mean.

    Args:
        path: of the file.
        reasons: what SQLite's messages mean, by a part of each in lower case.
        error: makes what is raised instead of them, of a message that names `path`.

    Raises:
        DenetError: as `error` makes it.
    """
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as raised:
        # Of a message, or of text in a column, that is not UTF-8.
        broken = isinstance(raised, UnicodeDecodeError)
        text = "could not decode" if broken else str(raised).lower()
        reason = next((words for part, words in reasons.items() if part in text), str(raised))
        raise error(f"{path}: {reason}") from None


def connect(
    path: Path,
    prepare: Callable[[sqlite3.Connection], None],
    *,
    patience: float,
    read_only: bool = False,
) -> sqlite3.Connection:
    """Open a file; it is closed again if it cannot be prepared.

    Transactions are begun and ended by name (`transaction`). Any thread may use the connection,
    one at a time. The file may be anybody's: what its schema calls is not trusted.

    Args:
        path: the file, which is there.
        prepare: sees that the file is the right one, and makes its tables.
        patience: seconds that a call waits for other connections.
        read_only: leave the file as it is.

    Raises:
        sqlite3.Error: it cannot be opened.
    """
    connection = sqlite3.connect(
        # Not a path: SQLite would make a file where there is none, which anybody can read.
        f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}",
        uri=True,
        timeout=patience,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        if hasattr(connection, "setlimit"):  # since Python 3.11
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST)
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        # A file that is cut while it is mapped would end the process.
        connection.execute("PRAGMA mmap_size = 0").fetchall()
        prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection, kind: str = "IMMEDIATE") -> Iterator[None]:
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


def pragma(connection: sqlite3.Connection, name: str) -> int:
    """A setting of the file or the connection that is a number."""
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def setting(connection: sqlite3.Connection, name: str) -> str:
    """A setting that is a word."""
    return str(connection.execute(f"PRAGMA {name}").fetchone()[0])


def row_digest(salt: bytes, *fields: bytes) -> bytes:
    """A checksum over what a row holds, of `DIGEST` bytes.

    Args:
        salt: up to 16 bytes: tells rows of one file from equal ones of another.
        fields: all that the row holds, as bytes.
    """
    lengths = struct.pack(f"<{len(fields)}Q", *map(len, fields))
    return hashlib.blake2b(
        lengths + b"".join(fields), digest_size=DIGEST, salt=salt, usedforsecurity=False
    ).digest()


def has_tables(connection: sqlite3.Connection, statements: Iterable[str]) -> bool:
    """Whether a file has the tables and indices that `statements` made, and nothing else: no view,
    trigger or other thing in the place of one."""
    stored = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    made_by_sqlite = "CREATE TABLE sqlite_sequence(name,seq)"
    return {sql for (sql,) in stored} - {made_by_sqlite} == set(statements)


def structure_fault(connection: sqlite3.Connection) -> str | None:
    """What is wrong with the pages of a file, in a few words of SQLite's; None if nothing is. Reads
    the whole file."""
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    return None if found == "ok" else " ".join(str(found).split())


def mark(connection: sqlite3.Connection, application: int, schema: int) -> None:
    """Write into the header of the file whose it is, and the schema of its tables."""
    connection.execute(f"PRAGMA application_id = {application}")
    connection.execute(f"PRAGMA user_version = {schema}")


def keep_log(connection: sqlite3.Connection, patience: float) -> None:
    """Have a write-ahead log.

    SQLite waits for nobody here, because two processes that both read the file and want to switch
    it would wait for each other: the second tries again.

    Args:
        connection: to the file.
        patience: seconds to try.
    """
    end = time.monotonic() + patience
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() >= end:
                raise
        time.sleep(RETRY)


def keep_journal(connection: sqlite3.Connection) -> None:
    """Have a rollback journal, which is there during a transaction alone.

    Raises:
        sqlite3.OperationalError: there is a log, and another connection uses it.
    """
    if setting(connection, "journal_mode") == "wal":
        connection.execute("PRAGMA journal_mode = DELETE").fetchall()


def make_private(path: Path) -> None:
    """An empty file that only its owner can read, unless there is one: embeddings of people are
    personal data.

    Raises:
        OSError: it cannot be made, or not be written.
    """
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
