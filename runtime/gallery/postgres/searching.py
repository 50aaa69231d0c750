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
from runtime.gallery.postgres.address import GalleryAddress
from runtime.gallery.postgres.rows import COLUMNS, stored
from runtime.gallery.postgres.tables import OTHER, PARTITIONS, TYPES
from runtime.gallery.ranking import matches_of
from runtime.gallery.rows import EntryRows, checked
from runtime.gallery.scores import Scores
from runtime.gallery.space import GalleryError
from runtime.gallery.storage import STORED_UNIT
from runtime.postgres.connecting import Connection

SPARE = 16
"""Entries of each state beyond four for each identity that is asked for."""

DEEPER = 4
"""Times as many, where that was not enough."""

EF_SEARCH = 200
"""Entries that an approximate search keeps in view (`hnsw.ef_search`)."""

SUFFIX = "_approximate"
"""Behind the name of a partition, that of its index."""

_SELECT = (
    "(SELECT {columns}, best.distance FROM (SELECT id, {distance} AS distance FROM {table} {where} "
    "ORDER BY {order} LIMIT {limit}) AS best JOIN {table} AS entry USING (id) "
    "ORDER BY best.distance, id)"
)
"""Sorting copies what it sorts, so that is ids and distances alone; the rows of the best follow."""


@dataclass(frozen=True)
class _Best:
    """What was got of the entries of one state.

    Attributes:
        found: the best of them, as the database orders them.
        least: the product of the last with the query, as the database has it.
        whole: whether there are no more.
    """

    found: EntryRows
    least: float
    whole: bool

    def settles(self, query: NDArray[np.float32], slack: float, top: int) -> bool:
        """Whether nothing that was left out can be of the `top` best identities: its product would
        be greater."""
        if self.whole:
            return True
        most = self.least + slack + STORED_UNIT * abs(self.least) / (1 - STORED_UNIT)
        cosines = np.einsum("ij,j->i", self.found.embeddings, query)
        sure = {row[1] for row, c in zip(self.found.stored, cosines, strict=True) if c > most}
        return len(sure) >= top


def search_in_database(
    connection: Connection,
    holding: Holding,
    address: GalleryAddress,
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
    kind = TYPES[holding.storage] + ("" if exact else f"({holding.space.dim})")
    vector = "[" + ",".join(map(repr, query.tolist())) + "]"
    unsettled = _tables(connection)
    parts: list[EntryRows] = []
    while unsettled:
        statement = _statement(kind, unsettled, limit, exact=exact)
        cursor = connection.execute(statement, {"query": vector}, binary=True)
        best = _by_state(cursor.fetchall(), limit, holding, address)
        left = []
        for table, name in unsettled:
            mine = best.get(name)
            if mine is None:
                continue
            if not exact or mine.settles(query, slack, top):
                parts.append(mine.found)
            else:
                left.append((table, name))
        unsettled, limit = left, DEEPER * limit
    index, names = _index(parts, holding)
    try:
        cosines = index.cosines(query[None])[0]
        return matches_of(index, names, cosines, state, top, scores)
    finally:
        index.close()


def use_indexes(connection: Connection, address: GalleryAddress) -> None:
    """Search by the indexes until the transaction ends.

    Raises:
        GalleryError: there are none.
    """
    table = next(iter(PARTITIONS)) + SUFFIX
    there = connection.execute("SELECT to_regclass(%s)", (table,)).fetchone()
    if there is None or there[0] is None:
        raise GalleryError(
            f"{address.name}: has no index to search approximately by: make one with "
            "`denet gallery index`, or search=database"
        )
    connection.execute(f"SET LOCAL hnsw.ef_search = {EF_SEARCH}")
    connection.execute("SET LOCAL hnsw.iterative_scan = strict_order")


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


def _statement(
    kind: str, tables: Sequence[tuple[str, str]], limit: int, *, exact: bool
) -> sql.Composed:
    """The best of each state in one statement; its parameter is `query`."""
    stored_as = "embedding" if exact else f"embedding::{kind}"  # as the index has it
    # An index, which would make it approximate, is of the distance alone: not of a sum with it.
    distance = f"({stored_as} <#> %(query)s::{kind})" + (" + 0" if exact else "")
    return sql.SQL(" UNION ALL ").join(
        sql.SQL(_SELECT).format(
            columns=sql.SQL(COLUMNS),
            where=sql.SQL("WHERE state = {}").format(sql.Literal(state))
            if table == OTHER
            else sql.SQL(""),  # a partition of one state has no other
            distance=sql.SQL(distance),
            table=sql.Identifier(table),
            order=sql.SQL("distance, id" if exact else "distance"),
            limit=sql.Literal(limit),
        )
        for table, state in tables
    )


def _by_state(
    rows: Sequence[tuple[Any, ...]], limit: int, holding: Holding, address: GalleryAddress
) -> dict[str, _Best]:
    groups: dict[str, list[tuple[Any, ...]]] = {}
    for row in rows:
        groups.setdefault(row[2], []).append(row)
    best = {}
    for name, group in groups.items():
        bare = [
            tuple(value.encode() if isinstance(value, str) else value for value in row[:-1])
            for row in group
        ]
        found = checked(stored(bare, holding, address), holding, address.name)
        best[name] = _Best(found, -float(group[-1][-1]), len(group) < limit)
    return best


def _index(parts: Sequence[EntryRows], holding: Holding) -> tuple[Index, dict[int, str]]:
    """Of some entries, in the order of their ids; the names of their identities."""
    rows = [
        (row[0], row[1], state, vector)
        for part in parts
        for row, state, vector in zip(part.stored, part.states, part.embeddings, strict=True)
    ]
    rows.sort(key=lambda row: row[0])
    numbers: dict[bytes, int] = {}
    identities = [numbers.setdefault(row[1], len(numbers)) for row in rows]
    index = Index(holding.space.dim)
    if rows:
        index.extend(
            np.stack([row[3] for row in rows]),
            np.array([row[0] for row in rows], np.int64),
            np.array(identities, np.int64),
            [row[2] for row in rows],
        )
    return index, {number: name.decode() for name, number in numbers.items()}
