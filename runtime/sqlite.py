"""SQLite files that denet keeps: opening, settings, transactions, and errors in plain words."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from denet.errors import DenetError

DISK_REFUSES = "the disk refuses: it may be full, or a limit on file sizes reached"

RETRY = 0.005
"""Seconds between two tries to switch a file to its log."""


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
    except sqlite3.Error as raised:
        text = str(raised).lower()
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
    one at a time.

    Args:
        path: the file.
        prepare: sees that the file is the right one, and makes its tables.
        patience: seconds that a call waits for other connections.
        read_only: leave the file and its log as they are.

    Raises:
        sqlite3.Error: it cannot be opened.
    """
    connection = sqlite3.connect(
        _only_to_read(path) if read_only else path,
        timeout=patience,
        isolation_level=None,
        check_same_thread=False,
        uri=read_only,
    )
    try:
        prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _only_to_read(path: Path) -> str:
    """A URI to look at a file, which makes no other where it can be helped."""
    log = path.with_name(f"{path.name}-wal")
    # Without a log nobody has it open, or nobody has written yet: it is all there is.
    how = "mode=ro" if log.exists() and log.stat().st_size else "immutable=1"
    return f"{path.absolute().as_uri()}?{how}"


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


def make_private(path: Path) -> None:
    """An empty file that only its owner can read, unless there is one: embeddings of people are
    personal data.

    Raises:
        OSError: it cannot be made, or not be written.
    """
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
