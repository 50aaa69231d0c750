"""The tables of a gallery in PostgreSQL: made, recognized, and opened for roles."""

from __future__ import annotations

from psycopg import sql

from denet.graph import RGB_NIR_TIR
from runtime.gallery.database import NOTHING, Holding, new_holding
from runtime.gallery.postgres.address import GalleryAddress
from runtime.gallery.postgres.holding import insert_holding
from runtime.gallery.space import GalleryError, Space
from runtime.gallery.storage import Storage
from runtime.postgres import tables
from runtime.postgres.connecting import Connection
from runtime.postgres.tables import TableKind, divide, grant, prepare

VERSION = 1
"""Of the tables."""

KIND = TableKind("gallery", "a gallery", VERSION, GalleryError)

LOCK = 0x444E4742
"""Whoever makes a gallery holds this lock of the database."""

TYPES: dict[Storage, str] = {"float16": "halfvec", "float32": "vector"}

LARGEST_DIM = 16_000
"""Numbers of a vector that pgvector takes."""

OTHER = "entries_other"
"""The partition of states that have none of their own."""

PARTITIONS = {f"entries_{state.name.replace('+', '_')}": state for state in RGB_NIR_TIR.states}

_TABLES = """
CREATE TABLE gallery (
    one integer PRIMARY KEY CHECK (one = 1),
    version integer NOT NULL,
    id bytea NOT NULL,
    storage text NOT NULL,
    dim integer NOT NULL,
    checkpoint text NOT NULL,
    projection text NOT NULL,
    removals bigint NOT NULL,
    last bigint NOT NULL,
    count bigint NOT NULL,
    total bytea NOT NULL,
    digest bytea NOT NULL
);
CREATE TABLE entries (
    id bigint NOT NULL,
    identity text NOT NULL,
    state text NOT NULL,
    embedding {type} NOT NULL,
    time double precision NOT NULL,
    source text NOT NULL,
    metadata text NOT NULL,
    digest bytea NOT NULL,
    PRIMARY KEY (state, id)
) PARTITION BY LIST (state);
ALTER TABLE entries ALTER COLUMN embedding SET STORAGE MAIN;
CREATE INDEX ON entries (id);
CREATE TABLE {other} PARTITION OF entries DEFAULT
"""
# MAIN: an embedding beside what else is in its row, wherever a page has room for it; out of line,
# an exact search takes twice as long.


def make_tables(connection: Connection, address: GalleryAddress, storage: Storage) -> None:
    """Make a gallery in which nobody is enrolled, where there is none.

    Raises:
        GalleryError: PostgreSQL has no such storage, or no pgvector.
        psycopg.Error: it cannot be made.
    """
    if storage not in TYPES:
        raise GalleryError(
            f"{address.name}: PostgreSQL cannot store {storage}: choose from {', '.join(TYPES)}"
        )
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        if found(connection, address):  # another was faster
            return
        prepare(connection, address, KIND)
        connection.execute(
            sql.SQL(_TABLES).format(type=sql.SQL(TYPES[storage]), other=sql.Identifier(OTHER))
        )
        divide(connection, "entries", PARTITIONS)
        bare = new_holding()
        insert_holding(connection, Holding(bare.id, Space(0, "", ""), storage, total=NOTHING))


def found(connection: Connection, address: GalleryAddress) -> bool:
    """Whether there is a gallery of this version.

    Raises:
        GalleryError: there is something else.
    """
    return tables.found(connection, address, KIND)


def give_roles(
    connection: Connection, address: GalleryAddress, reads: str, enrols: str
) -> list[str]:
    """Let one role read a gallery, and one enrol as well; make them where they are not there.

    Neither can log in or remove anybody: users are made members of them.

    Args:
        connection: of who owns the tables, and may make roles.
        address: of the gallery.
        reads, enrols: names of the roles.

    Returns:
        Which of them were made.

    Raises:
        psycopg.Error: it cannot be done; nothing was.
    """
    with connection.transaction():
        made = grant(connection, address, {reads: "SELECT", enrols: "SELECT"})
        name = sql.Identifier(enrols)
        connection.execute(sql.SQL("GRANT INSERT ON entries TO {}").format(name))
        connection.execute(sql.SQL("GRANT UPDATE ON gallery TO {}").format(name))
    return made
