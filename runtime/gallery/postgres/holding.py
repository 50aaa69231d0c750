"""What a gallery in PostgreSQL says of its entries: one row, locked by whoever changes any.

Ids are handed out under that lock, and it is held until the transaction ends: so ids appear in
their order, and what has a greater id than the last that was seen is all that is new. A sequence
hands its numbers out before others may see their rows, and a reader would miss some.
"""

from __future__ import annotations

import struct

from psycopg.rows import TupleRow

from runtime.gallery.database import (
    LARGEST_DIM,
    MEND,
    Holding,
    holding_digest,
    holding_values,
)
from runtime.gallery.postgres.address import GalleryAddress
from runtime.gallery.space import GalleryError, Space
from runtime.gallery.storage import STORAGES
from runtime.postgres.connecting import Connection

_COLUMNS = "id, storage, dim, checkpoint, projection, removals, last, count, total, digest, version"


def read_holding(connection: Connection, address: GalleryAddress, *, lock: bool = False) -> Holding:
    """What a gallery says of its entries.

    Args:
        connection: to it.
        address: of it, for messages.
        lock: keep others from changing anything, until the transaction ends.

    Raises:
        GalleryError: that is damaged.
    """
    query = f"SELECT {_COLUMNS} FROM gallery" + (" FOR UPDATE" if lock else "")
    rows = connection.execute(query, binary=True, prepare=True).fetchmany(2)
    holding = _holding(rows[0]) if len(rows) == 1 else None
    if holding is None:
        raise GalleryError(
            f"{address.name}: is damaged: what it says of its entries is not what was written: "
            f"{MEND}"
        )
    return holding


def insert_holding(connection: Connection, holding: Holding) -> None:
    """Say what the entries are, the first time."""
    values = holding_values(holding)
    places = ", ".join(["%s"] * len(values))
    connection.execute(
        f"INSERT INTO gallery (one, version, {_COLUMNS.removesuffix(', version')}) "
        f"VALUES (1, 1, {places})",
        values,
    )


def update_holding(connection: Connection, holding: Holding) -> None:
    """Say what the entries are, within the transaction that changes them."""
    columns = _COLUMNS.removesuffix(", version").split(", ")
    connection.execute(
        f"UPDATE gallery SET {', '.join(f'{name} = %s' for name in columns)}",
        holding_values(holding),
    )


def _holding(row: TupleRow) -> Holding | None:
    chance, stored, dim, checkpoint, projection, removals, last, count, total, digest, _ = row
    storage = next((known for known in STORAGES if known == stored), None)
    if storage is None or not 0 <= dim <= LARGEST_DIM:
        return None
    space = Space(dim, checkpoint, projection)
    holding = Holding(bytes(chance), space, storage, removals, last, count, bytes(total))
    try:
        return holding if holding_digest(holding) == bytes(digest) else None
    except struct.error:
        return None
