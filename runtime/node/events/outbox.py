"""A file in which events wait until the broker has them."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from runtime.node.events import letters
from runtime.node.events.errors import EventError
from runtime.node.events.letters import APPLICATION, SCHEMA, DamagedFileError
from runtime.sqlite import (
    DISK_REFUSES,
    connect,
    in_plain_words,
    keep_log,
    make_private,
    pragma,
    transaction,
)

REASONS = {
    "locked": "a node uses it: stop that one, or give each an outbox of its own",
    "full": "the disk is full",
    "disk i/o": DISK_REFUSES,
    "readonly": "it is read-only: an outbox needs a file and a folder that can be written",
    "unable to open": "it cannot be opened: its folder must exist and be writable",
    "not a database": "it is not an outbox: name another file",
    "malformed": "it is damaged: move it away, and a new one is made",
}
"""What SQLite's messages mean, by a part of each."""

MARGIN = 128
"""Bytes of a row besides topic and body, at most."""

BEFORE = -(1 << 63)
"""No message has so low a number, not even one whose number is damaged."""


@dataclass(frozen=True)
class OutboxMessage:
    """An event on its way.

    Attributes:
        number: rises in the order in which events were published.
        topic: of the broker.
        body: the event in JSON.
        damage: why it is none; "" if it is whole.
    """

    number: int
    topic: str
    body: bytes
    damage: str = ""


@dataclass(frozen=True)
class AsideMessage:
    """An event that is kept and not sent.

    Attributes:
        number: as of `OutboxMessage`.
        time: when it was set aside; seconds since 1970 (UTC).
        reason: why.
        size: bytes of its row.
    """

    number: int
    time: float
    reason: str
    size: int


class Outbox:
    """Messages in an SQLite file, bounded in bytes; the oldest go first. Calls take turns.

    A message that was added survives the end of the process, `kill -9` included. After `sync` it
    survives a loss of power, where the disk keeps its word.

    Attributes:
        waiting: messages that are to be sent.
        set_aside: messages that are kept and not sent.
        rescued: what became of a damaged file, for a person; "" if it was whole.

    Args:
        path: the file; made where it is not there.
        max_bytes: of the file. Its log takes up to about 4 MB more.

    Raises:
        EventError: it cannot be used.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path, self._max_bytes = path, max_bytes
        self._lock = threading.Lock()
        self._claimed = BEFORE
        self._last = self._synced = self._page = 0
        self.rescued = ""
        self.waiting = self.set_aside = 0
        if path.is_dir():
            raise EventError(f"{path}: is a folder: name a file, such as {path / 'outbox.db'}")
        try:
            make_private(path)
        except OSError as error:
            raise EventError(f"{path}: cannot be written: {error.strerror}") from None
        with self._turn():
            # Nobody else may use it, so nobody is waited for.
            try:
                self._connection = connect(path, self._prepare, patience=0.0)
            except sqlite3.DatabaseError as error:
                if not (isinstance(error, DamagedFileError) or "malformed" in str(error)):
                    raise
                self._connection = self._rescue()
        self._file = _identity(path)

    def add(self, messages: Iterable[tuple[str, bytes]]) -> int:
        """Keep messages, given by topic and body.

        Returns:
            How many had to go for want of room, the oldest first.

        Raises:
            EventError: none of them can be kept.
        """
        last, gone, unfit = self._last, 0, 0
        with self._turn():
            with transaction(self._connection):
                for topic, body in messages:
                    thrown, fits = self._make_room(len(topic) + len(body) + MARGIN)
                    gone += thrown
                    if not fits:
                        unfit += 1
                        continue
                    last += 1
                    letters.insert(self._connection, (last, topic, body))
                lost = self._tidy_aside() if gone and self.set_aside else 0
            self.set_aside -= lost
            self.waiting += last - self._last - (gone - lost)
            self._last = last
        return gone + unfit

    def claim(self, most: int) -> list[OutboxMessage]:
        """The next messages after those that were claimed; these do not go for want of room.

        One that cannot be read is given with its damage, and keeps no other back.

        Raises:
            EventError: they cannot be read.
        """
        if self._claimed == self._last:
            return []
        with self._turn():
            rows = self._connection.execute(
                "SELECT number FROM letters WHERE number > ? "
                "AND number NOT IN (SELECT number FROM aside) ORDER BY number LIMIT ?",
                (self._claimed, most),
            ).fetchall()
            messages = [self._read(number) for (number,) in rows]
            if rows:
                self._claimed = rows[-1][0]
        return messages

    def release(self) -> None:
        """What was claimed and not removed is to be claimed again."""
        with self._lock:
            self._claimed = BEFORE

    def remove(self, numbers: Collection[int]) -> None:
        """These messages have arrived.

        Raises:
            EventError: it cannot be written.
        """
        with self._turn():
            with transaction(self._connection):
                removed = self._connection.executemany(
                    "DELETE FROM letters WHERE number = ?", [(number,) for number in numbers]
                )
            self.waiting -= removed.rowcount

    def put_aside(self, number: int, reason: str) -> None:
        """Keep a message, and give it out no more.

        Raises:
            EventError: it cannot be written.
        """
        with self._turn():
            with transaction(self._connection):
                added = self._connection.execute(
                    "INSERT OR IGNORE INTO aside SELECT number, ?, ? FROM letters WHERE number = ?",
                    (time.time(), reason, number),
                ).rowcount
            self.set_aside += added
            self.waiting -= added

    def aside(self) -> list[AsideMessage]:
        """The messages that are kept and not sent, the oldest first.

        Raises:
            EventError: they cannot be read.
        """
        with self._turn():
            rows = self._connection.execute(
                "SELECT number, time, reason, length(topic) + length(body) "
                "FROM aside JOIN letters USING (number) ORDER BY number"
            ).fetchall()
        return [AsideMessage(*row) for row in rows]

    def empty_aside(self, *, drop: bool) -> None:
        """Give what was set aside out again, or drop it.

        Raises:
            EventError: it cannot be written.
        """
        with self._turn():
            with transaction(self._connection):
                if drop:
                    self._connection.execute(
                        "DELETE FROM letters WHERE number IN (SELECT number FROM aside)"
                    )
                self._connection.execute("DELETE FROM aside")
            self.waiting += 0 if drop else self.set_aside
            self.set_aside = 0

    def is_in_place(self) -> bool:
        """Whether what is at its path is the file that it uses, and not gone or another."""
        return _identity(self.path) == self._file

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

    def _prepare(self, connection: sqlite3.Connection) -> None:
        # One node has an outbox for itself, so SQLite needs no shared memory to arrange others.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        if pragma(connection, "schema_version"):
            self._check(connection)
        keep_log(connection, patience=0.0)
        # A commit is the system's at once, the disk's with the next checkpoint.
        connection.execute("PRAGMA synchronous = NORMAL")
        with transaction(connection):
            if not pragma(connection, "schema_version"):
                letters.make_tables(connection)
            elif letters.is_earlier(connection):
                letters.take_over(connection)
        self._count(connection)

    def _rescue(self) -> sqlite3.Connection:
        """A new file with what is whole of one that is damaged."""
        try:
            whole, moved = letters.rescue(self.path)
            make_private(self.path)
        except OSError as error:
            raise EventError(
                f"{self.path}: is damaged, and cannot be moved away: {error.strerror}"
            ) from None
        connection = connect(self.path, self._prepare, patience=0.0)
        with transaction(connection):
            for letter in whole:
                letters.insert(connection, letter)
        self._count(connection)
        self.rescued = (
            f"was damaged: {len(whole)} events of it are whole and go on; it is kept as {moved}"
        )
        return connection

    def _count(self, connection: sqlite3.Connection) -> None:
        self._page = pragma(connection, "page_size")
        first = connection.execute("SELECT max(number), count(*) FROM letters")
        last, count = first.fetchone()
        (self.set_aside,) = connection.execute(
            "SELECT count(*) FROM aside JOIN letters USING (number)"
        ).fetchone()
        self.waiting = count - self.set_aside
        self._last = self._synced = max(last or 0, 0)

    def _check(self, connection: sqlite3.Connection) -> None:
        if pragma(connection, "application_id") != APPLICATION:
            raise EventError(f"{self.path}: is another program's SQLite file: name another one")
        if letters.is_earlier(connection):
            return
        if (schema := pragma(connection, "user_version")) != SCHEMA:
            raise EventError(
                f"{self.path}: outbox schema {schema}, but this version of denet knows {SCHEMA}: "
                "have the denet that wrote it deliver its events, or move it away"
            )
        letters.check_pages(connection)

    def _read(self, number: int) -> OutboxMessage:
        """One message, whatever somebody or a disk has made of it."""
        try:
            return OutboxMessage(*letters.read(self._connection, number))
        except Exception as error:  # of SQLite, or of what is in the row
            return OutboxMessage(number, "", b"", f"damaged: {error}")

    def _tidy_aside(self) -> int:
        """Forget what was set aside and is gone: how many that were."""
        return self._connection.execute(
            "DELETE FROM aside WHERE number NOT IN (SELECT number FROM letters)"
        ).rowcount

    def _make_room(self, size: int) -> tuple[int, bool]:
        """Throw out old messages until `size` bytes fit: how many went, and whether they fit."""
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
        used = pragma(self._connection, "page_count") - pragma(self._connection, "freelist_count")
        return used * self._page

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with self._lock, in_plain_words(self.path, REASONS, EventError):
            yield


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
