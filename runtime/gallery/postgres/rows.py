"""Entries in PostgreSQL as bytes: the same that the file of a gallery has, bit by bit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from runtime.gallery.database import Holding
from runtime.gallery.postgres.address import GalleryAddress
from runtime.gallery.rows import CHUNK, EntryRows, Stored, checked, damaged
from runtime.gallery.storage import Storage, size
from runtime.postgres.connecting import Connection

COLUMNS = "id, identity, state, embedding, time, source, metadata, digest"

_KINDS = ("int8", "bytea", "bytea", "bytea", "float8", "bytea", "bytea", "bytea")
"""How columns are read and written: texts and embeddings as the bytes that they are."""

HEAD = 4
"""Bytes before the numbers of a vector: how many they are, and two that are 0."""

_WORDS: dict[Storage, tuple[str, str]] = {"float16": (">u2", "<u2"), "float32": (">u4", "<u4")}
"""Numbers as PostgreSQL sends them, and as files have them."""


def read_rows(
    connection: Connection, holding: Holding, address: GalleryAddress, after: int = 0
) -> Iterator[EntryRows]:
    """The entries with ids greater than `after`, in the order of their ids, some at a time.

    Raises:
        GalleryError: one is not what was written; names it.
    """
    if holding.bare:
        return
    many = max(1, CHUNK // size(holding.storage, holding.space.dim))
    query = sql.SQL(
        f"COPY (SELECT {COLUMNS} FROM entries WHERE id > {{}} ORDER BY id) "
        "TO STDOUT (FORMAT binary)"
    ).format(sql.Literal(after))
    with connection.cursor().copy(query) as copy:
        copy.set_types(_KINDS)
        waiting: list[tuple[Any, ...]] = []
        for row in copy.rows():
            waiting.append(row)
            if len(waiting) == many:
                yield checked(stored(waiting, holding, address), holding, address.name)
                waiting = []
    if waiting:
        yield checked(stored(waiting, holding, address), holding, address.name)


def read_ids(connection: Connection) -> NDArray[np.int64]:
    """The ids of all entries, rising."""
    query = "COPY (SELECT id FROM entries ORDER BY id) TO STDOUT (FORMAT binary)"
    with connection.cursor().copy(query) as copy:
        copy.set_types(["int8"])
        return np.array([row[0] for row in copy.rows()], np.int64)


def write_rows(connection: Connection, holding: Holding, rows: Iterable[Stored]) -> None:
    """Add entries, within a transaction."""
    big, little = _WORDS[holding.storage]
    head = holding.space.dim.to_bytes(2, "big") + bytes(2)
    query = f"COPY entries ({COLUMNS}) FROM STDIN (FORMAT binary)"
    with connection.cursor().copy(query) as copy:
        copy.set_types(_KINDS)
        for row in rows:
            numbers = np.frombuffer(row[3], little).astype(big).tobytes()
            copy.write_row((*row[:3], head + numbers, *row[4:]))


def stored(
    rows: Sequence[Sequence[Any]], holding: Holding, address: GalleryAddress
) -> list[Stored]:
    """Rows of `COLUMNS`, in PostgreSQL's binary form, as a file has them.

    Raises:
        GalleryError: an embedding is of another length.
    """
    if not rows:
        return []
    big, little = _WORDS[holding.storage]
    length = HEAD + size(holding.storage, holding.space.dim)
    for row in rows:
        if len(row[3]) != length:
            raise damaged(address.name, row[0], bytes(row[1]))
    words = np.frombuffer(b"".join(row[3] for row in rows), big).reshape(len(rows), -1)
    numbers = words[:, -holding.space.dim :].astype(little)
    return [
        (
            int(number),
            bytes(identity),
            bytes(state),
            vector.tobytes(),
            float(time),
            bytes(source),
            bytes(metadata),
            bytes(digest),
        )
        for (number, identity, state, _, time, source, metadata, digest), vector in zip(
            rows, numbers, strict=True
        )
    ]
