"""Search in the database: the best entries of each state in one statement, ranked here.

The database orders by a cosine that is rounded otherwise than ours: it multiplies float16 numbers
that are not normalized again. How far that can be off is known, so this asks for more entries until
none that was left out can be among the best. The result is then the one of a whole gallery in
memory, ties included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from denet.graph import State
from runtime.gallery.base import Match
from runtime.gallery.database import Holding
from runtime.gallery.index import Index
from runtime.gallery.postgres.address import Address
from runtime.gallery.postgres.connecting import Connection
from runtime.gallery.postgres.rows import COLUMNS, stored
from runtime.gallery.postgres.tables import OTHER, PARTITIONS, TYPES
from runtime.gallery.ranking import matches_of
from runtime.gallery.rows import EntryRows, checked
from runtime.gallery.scores import Scores
from runtime.gallery.storage import STORED_UNIT, Storage

SPARE = 16
"""Entries of each state beyond four for each identity that is asked for."""

DEEPER = 4
"""Times as many, where that was not enough."""

EF_SEARCH = 200
"""Entries that an approximate search keeps in view (`hnsw.ef_search`)."""

_SELECT = (
    "(SELECT {columns}, {product} AS product FROM {table} WHERE state = {state} "
    "ORDER BY {order} LIMIT {limit})"
)

_TEXTS = frozenset({"identity", "state", "source", "metadata"})
"""Of `COLUMNS`."""


@dataclass(frozen=True)
class _Asked:
    """What was got of the entries of one state.

    Attributes:
        rows: as the database has them, the best first.
        least: the product of the last.
        whole: whether there are no more.
    """

    rows: list[tuple[Any, ...]]
    least: float
    whole: bool


def search_in_database(
    connection: Connection,
    holding: Holding,
    address: Address,
    query: NDArray[np.float32],
    state: State,
    top: int,
    scores: Scores | None,
) -> list[Match]:
    """The best identities for one embedding, within a transaction; exact.

    Args:
        connection: to the gallery.
        holding: what it says of its entries.
        address: of it; says whether the search may be approximate.
        query: (dim,), L2-normalized.
        state: in which it was made.
        top: identities, at most.
        scores: as of `base.Gallery.search`.

    Raises:
        GalleryError: an entry is damaged, or `scores` do not know a state.
        psycopg.Error: the database cannot be asked.
    """
    exact = address.search != "approximate"
    slack = _slack(holding, query)
    limit = 4 * top + SPARE
    unsettled = _tables(connection)
    rows: list[tuple[Any, ...]] = []
    while unsettled:
        asked = _ask(connection, holding.storage, query, unsettled, limit, exact=exact)
        left = []
        for table, name in unsettled:
            mine = asked.get(name, _Asked([], -np.inf, whole=True))
            if mine.whole or not exact or _settled(mine, holding, address, query, slack, top):
                rows += mine.rows
            else:
                left.append((table, name))
        unsettled, limit = left, DEEPER * limit
    found = _entries(sorted(rows, key=lambda row: int(row[0])), holding, address)
    index = _index(found, holding)
    try:
        names = {n: row[1].decode() for n, row in zip(index.identities, found.stored, strict=True)}
        cosines = index.cosines(query[None])[0]
        return matches_of(index, names, cosines, state, top, scores)
    finally:
        index.close()


def _settled(
    asked: _Asked,
    holding: Holding,
    address: Address,
    query: NDArray[np.float32],
    slack: float,
    top: int,
) -> bool:
    """Whether nothing that was left out can be among the best: it would have a greater product."""
    found = _entries(asked.rows, holding, address)
    index = _index(found, holding)
    try:
        cosines = index.cosines(query[None])[0]
    finally:
        index.close()
    most = asked.least + slack + STORED_UNIT * abs(asked.least) / (1 - STORED_UNIT)
    return len(set(index.identities[cosines > most].tolist())) >= top


def _slack(holding: Holding, query: NDArray[np.float32]) -> float:
    """How far a product of the database may be from ours, but for the norm of the entry."""
    rounded = query.astype(np.float16) if holding.storage == "float16" else query
    error = float(np.linalg.norm(rounded.astype(np.float64) - query.astype(np.float64)))
    # Sums of so many products in float32, in any order, there and here.
    sums = 4 * holding.space.dim * float(np.finfo(np.float32).eps)
    return (1 + 2 * STORED_UNIT) * error + sums


def _tables(connection: Connection) -> list[tuple[str, str]]:
    """Partitions, each with the name of a state in it."""
    others = connection.execute(
        sql.SQL("SELECT DISTINCT state FROM {}").format(sql.Identifier(OTHER))
    )
    known = [(table, state.name) for table, state in PARTITIONS.items()]
    return known + [(OTHER, str(row[0])) for row in others]


def _ask(
    connection: Connection,
    storage: Storage,
    query: NDArray[np.float32],
    tables: Sequence[tuple[str, str]],
    limit: int,
    *,
    exact: bool,
) -> dict[str, _Asked]:
    vector = sql.Literal("[" + ",".join(map(repr, query.tolist())) + "]")
    distance = sql.SQL("embedding <#> {}::{}").format(vector, sql.SQL(TYPES[storage]))
    # An index, which would make it approximate, is of the distance alone: not of a sum with it.
    order = sql.SQL("({}) + 0, id").format(distance) if exact else distance
    parts = [
        sql.SQL(_SELECT).format(
            columns=sql.SQL(COLUMNS),
            product=sql.SQL("-({})").format(distance),
            table=sql.Identifier(table),
            state=sql.Literal(state),
            order=order,
            limit=sql.Literal(limit),
        )
        for table, state in tables
    ]
    cursor = connection.execute(sql.SQL(" UNION ALL ").join(parts), binary=True)
    texts = [number for number, name in enumerate(COLUMNS.split(", ")) if name in _TEXTS]
    found: dict[str, list[tuple[Any, ...]]] = {}
    for row in cursor:
        values = list(row)
        for number in texts:
            values[number] = values[number].encode()
        found.setdefault(row[2], []).append(tuple(values))
    return {
        name: _Asked([row[:-1] for row in rows], float(rows[-1][-1]), len(rows) < limit)
        for name, rows in found.items()
    }


def _entries(rows: Sequence[tuple[Any, ...]], holding: Holding, address: Address) -> EntryRows:
    return checked(stored(rows, holding, address), holding, address.name)


def _index(found: EntryRows, holding: Holding) -> Index:
    """Of some entries; the number of an identity is that of its name among them."""
    index = Index(holding.space.dim)
    numbers: dict[bytes, int] = {}
    identities = [numbers.setdefault(row[1], len(numbers)) for row in found.stored]
    index.extend(
        found.embeddings,
        np.array([row[0] for row in found.stored], np.int64),
        np.array(identities, np.int64),
        found.states,
    )
    return index
