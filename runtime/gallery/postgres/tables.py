"""The tables of a gallery in PostgreSQL: made, recognized, and opened for roles."""

from __future__ import annotations

from psycopg import errors, sql

from denet.graph import RGB_NIR_TIR
from runtime.gallery.database import NOTHING, Holding, new_holding
from runtime.gallery.postgres.address import GalleryAddress
from runtime.gallery.postgres.holding import insert_holding
from runtime.gallery.space import GalleryError, Space
from runtime.gallery.storage import Storage
from runtime.postgres.connecting import Connection

VERSION = 1
"""Of the tables. `gallery` has a column `version` in all that will ever be."""

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
        try:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        except (errors.FeatureNotSupported, errors.UndefinedFile):
            raise GalleryError(
                f"{address.name}: the server has no pgvector: install it there, as Debian's "
                "postgresql-17-pgvector"
            ) from None
        schema = sql.Identifier(address.schema)
        exists = connection.execute("SELECT to_regnamespace(%s)", (address.schema,)).fetchone()
        if exists is None or exists[0] is None:
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(schema))
        connection.execute(
            sql.SQL(_TABLES).format(type=sql.SQL(TYPES[storage]), other=sql.Identifier(OTHER))
        )
        for name, state in PARTITIONS.items():
            connection.execute(
                sql.SQL("CREATE TABLE {} PARTITION OF entries FOR VALUES IN ({})").format(
                    sql.Identifier(name), sql.Literal(state.name)
                )
            )
        bare = new_holding()
        insert_holding(connection, Holding(bare.id, Space(0, "", ""), storage, total=NOTHING))


def found(connection: Connection, address: GalleryAddress) -> bool:
    """Whether there is a gallery of this version.

    Raises:
        GalleryError: there is something else.
    """
    table = f'"{address.schema}".gallery'
    row = connection.execute("SELECT to_regclass(%s)", (table,)).fetchone()
    if row is None or row[0] is None:
        return False
    try:
        with connection.transaction():
            version = connection.execute("SELECT version FROM gallery").fetchone()
    except errors.UndefinedColumn:
        version = None
    if version is None:
        raise GalleryError(
            f"{address.name}: the table {address.schema}.gallery is not a gallery of denet, or is "
            "damaged: give another schema with the option schema, or restore a backup"
        )
    if version[0] != VERSION:
        raise GalleryError(
            f"{address.name}: tables of version {version[0]}, but this version of denet reads "
            f"{VERSION}: install the denet that made them"
        )
    return True


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
    made = []
    with connection.transaction():
        for role in (reads, enrols):
            name = sql.Identifier(role)
            there = "SELECT FROM pg_roles WHERE rolname = %s"
            if connection.execute(there, (role,)).fetchone() is None:
                connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(name))
                made.append(role)
            for grant in (
                "GRANT USAGE ON SCHEMA {schema} TO {role}",
                "GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}",
            ):
                connection.execute(
                    sql.SQL(grant).format(schema=sql.Identifier(address.schema), role=name)
                )
        name = sql.Identifier(enrols)
        connection.execute(sql.SQL("GRANT INSERT ON entries TO {}").format(name))
        connection.execute(sql.SQL("GRANT UPDATE ON gallery TO {}").format(name))
    return made
