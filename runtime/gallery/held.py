"""The file of a gallery that is open: always the one that is at its path now."""

from __future__ import annotations

import os
import sqlite3
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import NamedTuple

from denet.reading import reading
from denet.temporary import NEW, followed, temporary
from runtime.gallery import connecting, earlier
from runtime.gallery.beside import check_beside
from runtime.gallery.database import SCHEMA, in_plain_words, patient
from runtime.gallery.descriptors import Descriptor, hold, let_go
from runtime.gallery.space import GalleryError
from runtime.sqlite import make_private, pragma
from runtime.sqlite_header import LENGTH

ATTEMPTS = 5
"""To open a file that is replaced meanwhile."""


class Stamp(NamedTuple):
    """What a file is and when it was changed; another one means that something happened."""

    device: int
    inode: int
    size: int
    changed: int


class HeldFile:
    """SQLite's connection to the file at a path, whichever that is.

    A person may move another file to that path, copy another over it, or delete it and make it
    anew. Before each look this compares what is at the path with what is open, which costs a
    microsecond, and opens it again if it is another. SQLite never gets to see a file with a journal
    or a log that is not of that file.

    Attributes:
        connection: to the file.

    Args:
        path: the file.
        create: make it where it is not there.
        read_only: leave the file as it is; one of an earlier denet is refused.

    Raises:
        GalleryError: it cannot be used.
    """

    connection: sqlite3.Connection
    _held: Descriptor
    _seen: Stamp
    _version: int
    _mark: bytes

    def __init__(self, path: Path, *, create: bool, read_only: bool) -> None:
        self.path, self._read_only = path, read_only
        with reading(path, GalleryError, "cannot be opened"):
            if path.is_dir():
                raise GalleryError(
                    f"{path}: is a folder: name a file, such as {path / 'gallery.db'}"
                )
            if not path.exists():
                if not create:
                    raise GalleryError(
                        f"{path}: there is no such gallery (make one with `denet gallery enrol`)"
                    )
                _make(path)
        self._open(create=create)

    def follow(self, *, wait: bool) -> bool:
        """Come to the file that is at the path now; whether that took a new connection.

        Args:
            wait: for a writer that is about to end; else what is locked is an error.

        Raises:
            GalleryError: there is none, or it cannot be used.
            sqlite3.OperationalError: it is locked.
        """
        stamp = self._stamp()
        if stamp == self._seen:
            return False
        if stamp[:2] == self._held.file:
            check_beside(self.path, self._held, SCHEMA)
            with patient(self.connection) if wait else nullcontext():
                version = self.version()
            if version != self._version and self._mark == _mark(self._held):
                # Changed as SQLite changes a file: it has noticed.
                self._version, self._seen = version, stamp
                return False
        # Another file, or this one behind SQLite's back: its cache may be of the old content.
        held, connection = self._held, self.connection
        self._open(create=False)
        connection.close()
        let_go(held)
        return True

    def version(self) -> int:
        """Changes when another connection has changed the file; costs some microseconds."""
        return pragma(self.connection, "data_version")

    def written(self) -> None:
        """See that what was just written is at the path.

        Raises:
            GalleryError: it is not: the file was replaced meanwhile.
        """
        stamp = self._stamp()
        if stamp[:2] != self._held.file:
            raise GalleryError(
                f"{self.path}: was replaced while it was written to: what was changed is in the "
                "file that was there: do it again"
            )
        self._seen = stamp

    def close(self) -> None:
        """Let go of the file."""
        self.connection.close()
        let_go(self._held)

    def _open(self, *, create: bool) -> None:
        for _ in range(ATTEMPTS):
            with reading(self.path, GalleryError, "cannot be opened"):
                held = hold(self.path)
            connection: sqlite3.Connection | None = None
            try:
                stamp = self._stamp()
                check_beside(self.path, held, SCHEMA)
                if self._read_only and earlier.is_one(held.head(LENGTH)):
                    raise earlier.untouched(self.path)  # SQLite would make files beside it
                connection = connecting.connect(self.path, create=create, read_only=self._read_only)
                if held.file == stamp[:2] == self._stamp()[:2]:
                    with in_plain_words(self.path), patient(connection):
                        self._version = pragma(connection, "data_version")
                    self.connection, self._held, self._seen = connection, held, stamp
                    self._mark = _mark(held)
                    return
            except BaseException:
                if connection is not None:
                    connection.close()
                let_go(held)
                raise
            connection.close()
            let_go(held)
        raise GalleryError(f"{self.path}: is replaced again and again: leave it in its place")

    def _stamp(self) -> Stamp:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            raise GalleryError(
                f"{self.path}: is gone: it was removed or moved while it was open: put it back"
            ) from None
        except OSError as error:
            raise GalleryError(f"{self.path}: cannot be read: {error.strerror or error}") from None
        return Stamp(found.st_dev, found.st_ino, found.st_size, found.st_ctime_ns)


def _mark(held: Descriptor) -> bytes:
    """What no transaction of ours changes in SQLite's header, and what tells two files apart."""
    head = held.head(LENGTH)
    return head[16:24] + head[40:92]


def _make(path: Path) -> None:
    """A gallery in which nobody is, at a path where nothing is; another process may be faster.

    It gets its name when it is whole: what is left of a file after a kill could not be told from
    one that was put in its place.
    """
    try:
        target = followed(path)
        with temporary(target) as folder:
            new = folder / NEW
            make_private(new)
            connecting.connect(new, create=True).close()
            with suppress(FileExistsError):
                _give_name(new, target)
    except OSError as error:
        raise GalleryError(f"{path}: cannot be made: {error.strerror or error}") from None


def _give_name(new: Path, path: Path) -> None:
    try:
        os.link(new, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if os.path.lexists(path):
            raise FileExistsError from None
        new.rename(path)
