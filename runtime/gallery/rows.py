"""Entries as they are in the file: read, and seen to be what was written.

Each has a checksum over all that it holds, salted with the id of the gallery; what it means is seen
to as well, since a checksum tells nothing of who made it.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from denet.graph import State, StateError
from runtime.gallery.base import Enrolment, Entry
from runtime.gallery.checks import check_enrolments, metadata_text
from runtime.gallery.database import MEND, Holding
from runtime.gallery.space import GalleryError, Space
from runtime.gallery.storage import decode, encode, size
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

    def entries(self, space: Space, name: bytes | None) -> list[Entry]:
        """Those of one identity, or all.

        Args:
            space: of their gallery.
            name: of the identity, in UTF-8.
        """
        return [
            Entry(
                id=number,
                identity=identity.decode(),
                state=state,
                time=time,
                source=source.decode(),
                metadata=msgspec.json.decode(metadata),
                space=space,
            )
            for (number, identity, _, _, time, source, metadata, _), state in zip(
                self.stored, self.states, strict=True
            )
            if name in (None, identity)
        ]


class Enrolments:
    """What is to be enrolled, seen to be fit for it.

    Args:
        space: of the embeddings.
        enrolments: one or more.

    Raises:
        GalleryError: one is not fit.
    """

    def __init__(self, space: Space, enrolments: Sequence[Enrolment]) -> None:
        self._names, self._vectors = check_enrolments(space, enrolments)
        self._metadata = [metadata_text(enrolment) for enrolment in enrolments]
        self._given = enrolments

    def contents(self, holding: Holding) -> list[Content]:
        """Rows for a gallery, with ids behind all that it ever had."""
        ids = range(holding.last + 1, holding.last + 1 + len(self._given))
        blobs = encode(self._vectors, holding.storage)
        return [
            (
                number,
                name.encode(),
                enrolment.state.name.encode(),
                blob,
                float(enrolment.time),
                enrolment.source.encode(),
                about,
            )
            for number, name, enrolment, blob, about in zip(
                ids, self._names, self._given, blobs, self._metadata, strict=True
            )
        ]


def sealed_rows(holding: Holding, contents: Iterable[Content]) -> list[Stored]:
    """Rows with the checksums that they have in this gallery."""
    return [(*content, entry_digest(holding.id, content)) for content in contents]


def digests_of(rows: Iterable[Stored]) -> list[bytes]:
    """The checksums of rows."""
    return [row[7] for row in rows]


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


def checked(stored: Sequence[Stored], holding: Holding, name: Path | str) -> EntryRows:
    """Entries, seen to be whole and to mean what they should.

    Args:
        stored: the entries.
        holding: what their gallery says of them.
        name: of the gallery, for the message.

    Raises:
        GalleryError: one is not.
    """
    length, dim = size(holding.storage, holding.space.dim), holding.space.dim
    states = []
    for row in stored:
        state = _state(row[2])
        if state is None or not _is_whole(row, holding.id, length):
            raise damaged(name, row[0], row[1])
        states.append(state)
    embeddings, fine = decode([row[3] for row in stored], holding.storage, dim)
    if not np.all(fine):
        worst = stored[int(np.argmin(fine))]
        raise damaged(name, worst[0], worst[1])
    digests = np.frombuffer(b"".join(row[7] for row in stored), ">u8").reshape(-1, 2)
    return EntryRows(stored, states, embeddings, digests.astype(np.uint64))


def entry_digest(gallery: bytes, content: Content) -> bytes:
    """The checksum of an entry in the gallery with that id."""
    number, identity, state, embedding, time, source, metadata = content
    return row_digest(
        gallery, struct.pack("<qd", number, time), identity, state, embedding, source, metadata
    )


def check_all(holding: Holding, digests: NDArray[np.uint64], name: Path | str) -> None:
    """See that entries are all that were enrolled, each of them once.

    Args:
        holding: what the gallery says of them.
        digests: (N, 2) of the entries.
        name: of the gallery, for the message.

    Raises:
        GalleryError: they are not.
    """
    if len(digests) != holding.count or total(digests) != holding.total:
        raise GalleryError(
            f"{name}: is damaged: of {holding.count} entries that it should have, {len(digests)} "
            f"were found, or others: {MEND}"
        )


def proven(rows: Iterable[EntryRows], holding: Holding, name: Path | str) -> Iterator[EntryRows]:
    """The entries of a gallery, seen to be all of them when the last was taken.

    Raises:
        GalleryError: as `check_all`, behind the last.
    """
    digests: list[NDArray[np.uint64]] = [np.empty((0, 2), np.uint64)]
    for some in rows:
        digests.append(some.digests)
        yield some
    check_all(holding, np.concatenate(digests), name)


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
    for _ in proven(read_rows(connection, holding, path), holding, path):
        pass


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


def damaged(gallery: Path | str, number: int, identity: object) -> GalleryError:
    """What is said of an entry that is not what was written."""
    name = identity[:64].decode(errors="replace") if isinstance(identity, bytes) else ""
    return GalleryError(f"{gallery}: entry {number} ({name!r}) is damaged: {MEND}")
