"""A file in which events wait until the broker has them."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from runtime.node.events.errors import EventError

APPLICATION = 0x444E4F42
"""Marks the file as an outbox ("DNOB") in SQLite's header."""

SCHEMA = 1

REASONS = {
    "locked": "another node uses it: give each an outbox of its own",
    "full": "the disk is full",
    "disk i/o": "the disk refuses: it may be full, or a limit on file sizes reached",
    "readonly": "it is read-only: an outbox needs a file and a folder that can be written",
    "unable to open": "it cannot be opened: its folder must exist and be writable",
    "not a database": "it is not an outbox: name another file",
    "malformed": "it is damaged: move it away, and a new one is made",
}
"""What SQLite's messages mean, by a part of each."""

MARGIN = 128
"""Bytes of a row besides topic and body, at most."""


@dataclass(frozen=True)
class Letter:
    """An event on its way.

    Attributes:
        number: rises in the order in which events were published.
        topic: of the broker.
        body: the event in JSON.
    """

    number: int
    topic: str
    body: bytes


class Outbox:
    """Letters in an SQLite file, bounded in bytes; the oldest go first. Calls take turns.

    A letter that was added survives the end of the process, `kill -9` included. After `sync` it
    survives a loss of power, where the disk keeps its word.

    Args:
        path: the file; made where it is not there.
        max_bytes: of the file. Its log takes up to about 4 MB more.

    Raises:
        EventError: it cannot be used.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path, self._max_bytes = path, max_bytes
        self._lock = threading.Lock()
        self._claimed = 0
        if path.is_dir():
            raise EventError(f"{path}: is a folder: name a file, such as {path / 'outbox.db'}")
        _make_private(path)
        with self._turn():
            self._connection = sqlite3.connect(
                path, timeout=0, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare()
                self._page = self._number("page_size")
                first = self._connection.execute("SELECT max(number), count(*) FROM letters")
                last, self.waiting = first.fetchone()
            except BaseException:
                self._connection.close()
                raise
        self._last = last or 0
        self._synced = self._last

    def add(self, letters: Iterable[tuple[str, bytes]]) -> int:
        """Keep letters, given by topic and body.

        Returns:
            How many had to go for want of room, the oldest first.

        Raises:
            EventError: none of them can be kept.
        """
        last, gone, unfit = self._last, 0, 0
        with self._turn():
            with self._transaction():
                for topic, body in letters:
                    thrown, fits = self._make_room(len(topic) + len(body) + MARGIN)
                    gone += thrown
                    if not fits:
                        unfit += 1
                        continue
                    last += 1
                    self._connection.execute(
                        "INSERT INTO letters VALUES (?, ?, ?)", (last, topic, body)
                    )
            self.waiting += last - self._last - gone
            self._last = last
        return gone + unfit

    def claim(self, most: int) -> list[Letter]:
        """The next letters after those that were claimed; these do not go for want of room.

        Raises:
            EventError: they cannot be read.
        """
        if self._claimed == self._last:
            return []
        with self._turn():
            rows = self._connection.execute(
                "SELECT * FROM letters WHERE number > ? ORDER BY number LIMIT ?",
                (self._claimed, most),
            ).fetchall()
            if rows:
                self._claimed = rows[-1][0]
        return [Letter(*row) for row in rows]

    def release(self) -> None:
        """What was claimed and not removed is to be claimed again."""
        with self._lock:
            self._claimed = 0

    def remove(self, numbers: Collection[int]) -> None:
        """These letters have arrived.

        Raises:
            EventError: it cannot be written.
        """
        with self._turn():
            with self._transaction():
                removed = self._connection.executemany(
                    "DELETE FROM letters WHERE number = ?", [(number,) for number in numbers]
                )
            self.waiting -= removed.rowcount

    def sync(self) -> None:
        """Have what was added last through a loss of power, if anything was.

        Raises:
            EventError: it cannot be written.
        """
        if self._synced == self._last:
            return
        with self._turn():
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            self._synced = self._last

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()

    def _prepare(self) -> None:
        # One node has an outbox for itself, so SQLite needs no shared memory to arrange others.
        self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        if self._number("schema_version"):
            self._check()
        self._connection.execute("PRAGMA journal_mode = WAL")
        # A commit is the system's at once, the disk's with the next checkpoint.
        self._connection.execute("PRAGMA synchronous = NORMAL")
        with self._transaction():
            if not self._number("schema_version"):
                self._connection.execute(
                    "CREATE TABLE letters (number INTEGER PRIMARY KEY, topic TEXT NOT NULL, "
                    "body BLOB NOT NULL)"
                )
                self._connection.execute(f"PRAGMA application_id = {APPLICATION}")
                self._connection.execute(f"PRAGMA user_version = {SCHEMA}")

    def _check(self) -> None:
        if self._number("application_id") != APPLICATION:
            raise EventError(f"{self.path}: is another program's SQLite file: name another one")
        if (schema := self._number("user_version")) != SCHEMA:
            raise EventError(
                f"{self.path}: outbox schema {schema}, but this version of denet knows {SCHEMA}: "
                "have the denet that wrote it deliver its events, or move it away"
            )

    def _make_room(self, size: int) -> tuple[int, bool]:
        """Throw out old letters until `size` bytes fit: how many went, and whether they fit."""
        # What does not fit into a page takes whole pages, and the tree above it may take one.
        need = (size // self._page + 2) * self._page
        gone = 0
        while self._used() + need > self._max_bytes:
            one = self._connection.execute(
                "DELETE FROM letters WHERE number = "
                "(SELECT min(number) FROM letters WHERE number > ?)",
                (self._claimed,),
            ).rowcount
            if not one:
                return gone, False
            gone += one
        return gone, True

    def _used(self) -> int:
        return (self._number("page_count") - self._number("freelist_count")) * self._page

    def _number(self, pragma: str) -> int:
        return int(self._connection.execute(f"PRAGMA {pragma}").fetchone()[0])

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                text = str(error).lower()
                reason = next((words for part, words in REASONS.items() if part in text), text)
                raise EventError(f"{self.path}: {reason}") from None

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            # A full disk may have rolled it back already.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise


def _make_private(path: Path) -> None:
    """An empty file that only its owner can read: embeddings of people are personal data."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise EventError(f"{path}: cannot be written: {error.strerror}") from None
