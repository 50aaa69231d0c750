"""A gallery's file, and its content in memory, which follows it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.gallery import database
from runtime.gallery.database import Holding, is_locked, patient, read_holding
from runtime.gallery.held import HeldFile
from runtime.gallery.mirror import Mirror
from runtime.gallery.rows import EntryRows, check_file, read_rows
from runtime.gallery.space import GalleryError
from runtime.sqlite import transaction

UNREAD = -1
"""No version of a file: memory is behind it."""


class MirroredFile:
    """The file at a path, with a `Mirror` of it. One call at a time.

    Args:
        path, create, read_only: as of `HeldFile`.

    Raises:
        GalleryError: as of `HeldFile`.
    """

    def __init__(self, path: Path, *, create: bool, read_only: bool) -> None:
        self._file = HeldFile(path, create=create, read_only=read_only)
        self._mirror: Mirror | None = None
        self._version = UNREAD
        self._failed: tuple[sqlite3.Connection, int, Exception] | None = None
        self._checked: sqlite3.Connection | None = None

    def mirror(self) -> Mirror | None:
        """All embeddings, as they are in the file now; None before the first enrolment.

        While another process commits, what was there before is what counts, and nobody waits.

        Raises:
            GalleryError: the file is gone, no gallery any more, or damaged.
            sqlite3.Error: it cannot be read.
        """
        try:
            self._follow(wait=self._mirror is None)
            if self._mirror is not None:
                return self._updated()
        except sqlite3.OperationalError as error:
            if self._mirror is None or not is_locked(error):
                raise
            return self._mirror
        with patient(self._file.connection):
            return self._updated()

    @contextmanager
    def reading(self) -> Iterator[tuple[sqlite3.Connection, Holding]]:
        """One state of the file: a connection to it, and what it says of its entries.

        Raises:
            GalleryError: the file is gone, no gallery any more, or damaged.
        """
        self._follow(wait=True)
        connection = self._file.connection
        with patient(connection), transaction(connection, "DEFERRED"):
            yield connection, read_holding(connection, self._file.path)

    @contextmanager
    def writing(self) -> Iterator[tuple[sqlite3.Connection, Holding]]:
        """As `reading`; all changes within are made, or none. The first time the whole file is
        checked: a change would make damage worse.

        Raises:
            GalleryError: also if the file was replaced meanwhile.
        """
        with self.reading() as (connection, holding):
            if self._checked is not connection:
                check_file(connection, holding, self._file.path)
        self._checked = connection
        with database.writing(connection):
            yield connection, read_holding(connection, self._file.path)
        self._version = UNREAD  # a connection is not told of its own changes
        self._file.written()

    def close(self) -> None:
        """Let go of file and memory."""
        self._drop()
        self._file.close()

    def _follow(self, *, wait: bool) -> None:
        if self._file.follow(wait=wait):
            self._drop()

    def _updated(self) -> Mirror | None:
        connection, version = self._file.connection, self._file.version()
        if self._mirror is not None and version == self._version:
            return self._mirror
        if self._failed is not None and self._failed[:2] == (connection, version):
            raise self._failed[2]  # reading all of it again would end the same
        self._failed = None
        try:
            with transaction(connection, "DEFERRED"):
                self._read(connection)
        except (GalleryError, sqlite3.DatabaseError) as error:
            if isinstance(error, sqlite3.OperationalError) and is_locked(error):
                raise
            self._drop()
            self._failed = (connection, version, error)
            raise
        self._version = version
        return self._mirror

    def _read(self, connection: sqlite3.Connection) -> None:
        holding = read_holding(connection, self._file.path)
        source = _FileSource(connection, holding, self._file.path)
        if self._mirror is not None:
            if self._mirror.catches_up(lambda: source, holding):
                return
            self._drop()
        if not holding.bare:
            self._mirror = Mirror.read(source, holding, self._file.path)

    def _drop(self) -> None:
        if self._mirror is not None:
            self._mirror.index.close()
        self._mirror, self._version = None, UNREAD


@dataclass(frozen=True)
class _FileSource:
    """The file within a transaction."""

    connection: sqlite3.Connection
    holding: Holding
    path: Path

    def ids(self) -> NDArray[np.int64]:
        found = self.connection.execute("SELECT id FROM entries").fetchall()
        return np.array([row[0] for row in found], np.int64)

    def rows(self, after: int) -> Iterator[EntryRows]:
        return read_rows(self.connection, self.holding, self.path, after)
