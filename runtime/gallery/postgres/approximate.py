"""Indexes for approximate search (HNSW), and how much a search by them misses."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
from psycopg import sql

from runtime.gallery.database import Holding
from runtime.gallery.postgres.address import GalleryAddress
from runtime.gallery.postgres.rows import COLUMNS, stored
from runtime.gallery.postgres.searching import SUFFIX, search_in_database, use_indexes
from runtime.gallery.postgres.tables import OTHER, PARTITIONS, TYPES
from runtime.gallery.rows import checked
from runtime.gallery.space import GalleryError
from runtime.head import normalized
from runtime.postgres.connecting import Connection
from runtime.postgres.transactions import snapshot

LARGEST_INDEXED = {"float16": 4000, "float32": 2000}
"""Numbers of an embedding that pgvector indexes, by storage."""

TOP = 10

NOISE = 0.5
"""Length of what is added to an embedding to make another of the same person of it."""


@dataclass(frozen=True)
class Recall:
    """What an approximate search finds of the exact one.

    Attributes:
        queries: searches that were compared.
        mean, least: share of the identities among the `TOP` best that it finds as well.
        exact, approximate: seconds of a search, the median.
    """

    queries: int
    mean: float
    least: float
    exact: float
    approximate: float


def make_indexes(connection: Connection, holding: Holding, address: GalleryAddress) -> None:
    """Make the indexes anew, all or none.

    Raises:
        GalleryError: embeddings are too long, or there are none.
        psycopg.Error: the user does not own the tables.
    """
    if holding.bare:
        raise GalleryError(f"{address.name}: nobody is enrolled yet: there is nothing to index")
    dim, most = holding.space.dim, LARGEST_INDEXED[holding.storage]
    if dim > most:
        raise GalleryError(
            f"{address.name}: {dim} numbers in {holding.storage}: an index takes {most}: make them "
            "shorter with `denet project`"
        )
    kind = TYPES[holding.storage]
    with connection.transaction():
        connection.execute("SET LOCAL maintenance_work_mem = '256MB'")
        for table in (*PARTITIONS, OTHER):
            name = sql.Identifier(table + SUFFIX)
            connection.execute(sql.SQL("DROP INDEX IF EXISTS {}").format(name))
            connection.execute(
                sql.SQL("CREATE INDEX {} ON {} USING hnsw ((embedding::{}) {})").format(
                    name,
                    sql.Identifier(table),
                    sql.SQL(f"{kind}({dim})"),
                    sql.SQL(f"{kind}_ip_ops"),
                )
            )


def measure_recall(
    connection: Connection, holding: Holding, address: GalleryAddress, queries: int
) -> Recall:
    """Search for embeddings like those of the gallery, exactly and by the indexes.

    Raises:
        psycopg.Error: the database cannot be asked.
    """
    ways = [replace(address, search=way) for way in ("database", "approximate")]
    found: list[list[set[str]]] = [[], []]
    times: list[list[float]] = [[], []]
    with snapshot(connection):
        use_indexes(connection, address)
        some = connection.execute(
            sql.SQL(
                f"SELECT {COLUMNS} FROM entries WHERE id IN (SELECT id FROM entries "
                "ORDER BY hashint8(id) LIMIT {})"
            ).format(sql.Literal(queries)),
            binary=True,
        ).fetchall()
        rows = [tuple(v.encode() if isinstance(v, str) else v for v in row) for row in some]
        entries = checked(stored(rows, holding, address), holding, address.name)
        noise = np.random.default_rng(0).standard_normal(entries.embeddings.shape)
        noise *= NOISE / np.linalg.norm(noise, axis=1, keepdims=True)
        asked = normalized((entries.embeddings + noise).astype(np.float32))
        for query, state in zip(asked, entries.states, strict=True):
            for way, names, took in zip(ways, found, times, strict=True):
                began = time.perf_counter()
                matches = search_in_database(connection, holding, way, query, state, TOP, None)
                took.append(time.perf_counter() - began)
                names.append({match.identity for match in matches})
    shares = [len(a & b) / len(a) for a, b in zip(*found, strict=True)]
    exact, approximate = (float(np.median(took)) for took in times)
    return Recall(len(shares), float(np.mean(shares)), min(shares), exact, approximate)
