"""Entries as they are in the file: read, and seen to be what was written.

Each has a checksum over all that it holds, salted with the id of the gallery; what it means is seen
to as well, since a checksum tells nothing of who made it.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from denet.graph import State, StateError
from runtime.gallery.database import MEND, Holding
from runtime.gallery.space import GalleryError
from runtime.gallery.storage import decode, size
from runtime.sqlite import row_digest, structure_fault
from runtime.states import read_state

CHUNK = 8 << 20
"""Bytes of embeddings that are read at once."""

Content = tuple[int, bytes, bytes, bytes, float, bytes, bytes]
"""Id, identity, state, embedding, time, source and metadata; text in UTF-8."""

Stored = tuple[int, bytes, bytes, bytes, float, bytes, bytes, bytes]
"""`Content`, and the digest of it."""

SELECT = (
    "SELECT id, CAST(identity AS BLOB), CAST(state AS BLOB), embedding, time, "
    "CAST(source AS BLOB), CAST(metadata AS BLOB), digest FROM entries WHERE id > ? ORDER BY id"
)

INSERT = (
    "INSERT INTO entries VALUES (?, CAST(? AS TEXT), CAST(? AS TEXT), ?, ?, "
    "CAST(? AS TEXT), CAST(? AS TEXT), ?)"
)
"""Of `Stored`."""


@dataclass(frozen=True)
class EntryRows:
    """N entries that are whole.

    Attributes:
        stored: as they are in the file.
        states: of each.
        embeddings: (N, dim) float32.
        digests: (N, 2) uint64.
    """

    stored: Sequence[Stored]
    states: Sequence[State]
    embeddings: NDArray[np.float32]
    digests: NDArray[np.uint64]


def read_rows(
    connection: sqlite3.Connection, holding: Holding, path: Path, after: int = 0
) -> Iterator[EntryRows]:
    """The entries with ids greater than `after`, in the order of their ids, some at a time.

    Raises:
        GalleryError: one is not what was written; names it.
    """
    many = max(1, CHUNK // size(holding.storage, holding.space.dim)) if not holding.bare else 1
    found = connection.execute(SELECT, (after,))
    while stored := found.fetchmany(many):
        yield checked(stored, holding, path)


def checked(stored: Sequence[Stored], holding: Holding, path: Path) -> EntryRows:
    """Entries, seen to be whole and to mean what they should.

    Raises:
        GalleryError: one is not.
    """
    length, dim = size(holding.storage, holding.space.dim), holding.space.dim
    states = []
    for row in stored:
        state = _state(row[2])
        if state is None or not _is_whole(row, holding.id, length):
            raise _damaged(path, row)
        states.append(state)
    embeddings, fine = decode([row[3] for row in stored], holding.storage, dim)
    if not np.all(fine):
        raise _damaged(path, stored[int(np.argmin(fine))])
    digests = np.frombuffer(b"".join(row[7] for row in stored), ">u8").reshape(-1, 2)
    return EntryRows(stored, states, embeddings, digests.astype(np.uint64))


def entry_digest(gallery: bytes, content: Content) -> bytes:
    """The checksum of an entry in the gallery with that id."""
    number, identity, state, embedding, time, source, metadata = content
    return row_digest(
        gallery, struct.pack("<qd", number, time), identity, state, embedding, source, metadata
    )


def check_all(holding: Holding, digests: NDArray[np.uint64], path: Path) -> None:
    """See that entries are all that were enrolled, each of them once.

    Args:
        holding: what the gallery says of them.
        digests: (N, 2) of the entries.
        path: of the gallery, for the message.

    Raises:
        GalleryError: they are not.
    """
    if len(digests) != holding.count or total(digests) != holding.total:
        raise GalleryError(
            f"{path}: is damaged: of {holding.count} entries that it should have, {len(digests)} "
            f"were found, or others: {MEND}"
        )


def total(digests: NDArray[np.uint64]) -> bytes:
    """The exclusive or of (N, 2) digests."""
    found: bytes = np.bitwise_xor.reduce(digests, axis=0).astype(">u8").tobytes()
    return found


def check_file(connection: sqlite3.Connection, holding: Holding, path: Path) -> None:
    """Read the whole file and see that nothing in it is damaged, within one transaction.

    Raises:
        GalleryError: something is.
    """
    fault = structure_fault(connection)
    if fault is not None:
        raise GalleryError(f"{path}: is damaged: {fault}: {MEND}")
    found = [rows.digests for rows in read_rows(connection, holding, path)]
    check_all(holding, np.concatenate([np.empty((0, 2), np.uint64), *found]), path)


def _is_whole(row: Stored, gallery: bytes, length: int) -> bool:
    try:
        return len(row[3]) == length and entry_digest(gallery, row[:7]) == row[7]
    except (TypeError, struct.error):  # a value of another kind
        return False


@lru_cache(maxsize=64)
def _state(name: bytes) -> State | None:
    try:
        return read_state(name.decode())
    except (AttributeError, UnicodeDecodeError, StateError):
        return None


def _damaged(path: Path, row: Stored) -> GalleryError:
    name = row[1][:64].decode(errors="replace") if isinstance(row[1], bytes) else ""
    return GalleryError(f"{path}: entry {row[0]} ({name!r}) is damaged: {MEND}")
