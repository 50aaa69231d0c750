"""A whole copy of a gallery that others may be using."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from denet.marks import OutputKind
from denet.reading import open_regular
from runtime.gallery import connecting
from runtime.gallery.database import APPLICATION, Holding, read_holding, set_apart, writing
from runtime.gallery.rows import check_file
from runtime.gallery.space import GalleryError
from runtime.sqlite import transaction
from runtime.sqlite_header import LENGTH, is_of


def _is_gallery(path: Path) -> bool:
    with open_regular(path) as stream:
        return is_of(stream.read(LENGTH), APPLICATION)


BACKUP = OutputKind("", "a backup is", "a gallery", _is_gallery, private=True)


def copy_whole(connection: sqlite3.Connection, new: Path) -> None:
    """Copy a gallery page by page.

    Args:
        connection: to the gallery, in a transaction.
        new: a file to write over.

    Raises:
        sqlite3.Error: it cannot be written.
    """
    with closing(sqlite3.connect(new, isolation_level=None)) as copy:
        connection.backup(copy)
        with writing(copy):
            set_apart(copy)  # a journal of the one must not be taken for one of the other


def check_copy(new: Path, holding: Holding) -> int:
    """See that a copy can be opened, is whole, and is of a gallery as it was; its entries.

    Raises:
        GalleryError: it is not.
    """
    with closing(connecting.connect(new, read_only=True)) as copy, transaction(copy, "DEFERRED"):
        found = read_holding(copy, new)
        check_file(copy, found, new)
    if found != holding:
        raise GalleryError(f"{new}: is not what was copied: the disk may fail")
    return found.count
