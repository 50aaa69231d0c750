"""What lies beside the file of a gallery, and whether it belongs to it.

SQLite applies a journal or a log that it finds beside a file by the name alone. If the file was
replaced after a writer was killed, the changes of the old file would be made to the new one. So
before SQLite looks at a file, the first page that its journal keeps is compared with the page that
is in the file: every transaction of ours writes that page first.
"""

from __future__ import annotations

import struct
import time
from pathlib import Path

from denet.reading import open_regular, reading
from runtime.gallery.descriptors import Descriptor
from runtime.gallery.space import GalleryError
from runtime.sqlite_header import APPLICATION_ID, CHANGES, COOKIE, LENGTH, USER_VERSION, number

MAGIC = bytes.fromhex("d9d505f920a163d7")
"""A rollback journal begins with it."""

ATTEMPTS, PAUSE = 5, 0.002
"""Looks at a file and its journal, and seconds between them: another process may end a transaction
and begin the next while we look."""


def check_beside(path: Path, held: Descriptor, schema: int) -> None:
    """See that SQLite may apply what lies beside a file.

    Args:
        path: of the file.
        held: the file.
        schema: of files that have a journal; those before have a log.

    Raises:
        GalleryError: it belongs to another file, which was at `path`.
    """
    log, journal = (path.with_name(path.name + end) for end in ("-wal", "-journal"))
    if _size(log) and number(_head(held), USER_VERSION) >= schema:
        raise GalleryError(
            f"{path}: {log.name} lies beside it and does not belong to it: move it away"
        )
    for _ in range(ATTEMPTS):
        if not _size(journal) or _belongs(journal, held, schema):
            return
        time.sleep(PAUSE)
    raise GalleryError(
        f"{path}: {journal.name} lies beside it and is not of this file, but of one that was in "
        "its place, or of another program: move it away"
    )


def _belongs(journal: Path, held: Descriptor, schema: int) -> bool:
    try:
        stream = open_regular(journal)
    except FileNotFoundError:  # the transaction has ended
        return True
    with reading(journal, GalleryError), stream:
        start = stream.read(28)
        if len(start) < 28 or start[:8] != MAGIC:
            return True  # SQLite does not apply it either
        pages, sector, page = struct.unpack(">16x3I", start)
        stream.seek(sector)
        record = stream.read(4 + LENGTH)
    head = _head(held)
    if not any(head):
        return True  # nothing that could be lost
    if len(record) < 4 + LENGTH:
        # No page is kept yet. It would still give the file its former length.
        return bool(pages) and pages * page == held.size()
    kept = record[4:]
    if int.from_bytes(record[:4], "big") != 1 or number(kept, APPLICATION_ID) != number(
        head, APPLICATION_ID
    ):
        return False
    # A transaction adds one to the counter of changes.
    changes = (number(head, CHANGES) - number(kept, CHANGES)) % (1 << 32)
    same = number(kept, COOKIE) == number(head, COOKIE)
    return changes in (0, 1) and (same or number(kept, USER_VERSION) < schema)


def _head(held: Descriptor) -> bytes:
    return held.head(LENGTH).ljust(LENGTH, b"\0")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
