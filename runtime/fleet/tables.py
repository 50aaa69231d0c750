"""The tables of an archive: made, recognized, and opened for roles."""

from __future__ import annotations

from psycopg import errors, sql

from denet.graph import RGB_NIR_TIR
from runtime.fleet.errors import FleetError
from runtime.postgres.address import Address
from runtime.postgres.connecting import Connection

VERSION = 1
"""Of the tables. `archive` has a column `version` in all that will ever be."""

LOCK = 0x444E4652
"""Whoever makes an archive holds this lock of the database."""

LARGEST_DIM = 16_000
"""Numbers of a halfvec that pgvector takes."""

OTHER = "sightings_other"
"""The partition of states that have none of their own."""

PARTITIONS = {f"sightings_{s.name.replace('+', '_')}": s for s in RGB_NIR_TIR.states}

_TABLES = """
CREATE TABLE archive (
    one integer PRIMARY KEY CHECK (one = 1),
    version integer NOT NULL
);
CREATE TABLE events (
    id text PRIMARY KEY,
    track text NOT NULL,
    node text NOT NULL,
    time double precision NOT NULL,
    change text NOT NULL,
    state text,
    verdicts jsonb NOT NULL,
    box jsonb,
    arrived timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON events (track);
CREATE TABLE tracks (
    key text PRIMARY KEY,
    node text NOT NULL,
    person text,
    label text NOT NULL,
    began double precision NOT NULL,
    seen double precision NOT NULL,
    boxes integer NOT NULL,
    embedded integer NOT NULL,
    states jsonb NOT NULL,
    match jsonb,
    bundle text NOT NULL,
    ended boolean NOT NULL,
    told double precision NOT NULL,
    number bigint NOT NULL,
    path jsonb,
    path_ended boolean,
    path_told double precision,
    path_number bigint,
    event_bytes bigint NOT NULL,
    bytes bigint NOT NULL DEFAULT 0,
    arrived timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON tracks (arrived);
CREATE INDEX ON tracks (seen);
CREATE TABLE spaces (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dim integer NOT NULL,
    checkpoint text NOT NULL,
    projection text NOT NULL,
    UNIQUE (dim, checkpoint, projection)
);
CREATE TABLE sightings (
    track text NOT NULL,
    state text NOT NULL,
    node text NOT NULL,
    began double precision NOT NULL,
    seen double precision NOT NULL,
    space integer NOT NULL,
    count integer NOT NULL,
    weight double precision NOT NULL,
    agreement double precision NOT NULL,
    embedding halfvec NOT NULL,
    PRIMARY KEY (track, state)
) PARTITION BY LIST (state);
ALTER TABLE sightings ALTER COLUMN embedding SET STORAGE MAIN;
CREATE INDEX ON sightings (seen);
CREATE TABLE {other} PARTITION OF sightings DEFAULT;
CREATE TABLE pictures (
    track text NOT NULL,
    number integer NOT NULL,
    modality text NOT NULL,
    time double precision NOT NULL,
    state text NOT NULL,
    jpeg bytea NOT NULL,
    PRIMARY KEY (track, number, modality)
);
CREATE TABLE cameras (
    node text PRIMARY KEY,
    told double precision NOT NULL,
    late double precision NOT NULL,
    arrived timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE aside (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic text NOT NULL,
    reason text NOT NULL,
    body bytea NOT NULL,
    digest bytea NOT NULL UNIQUE,
    arrived timestamptz NOT NULL DEFAULT now()
)
"""
# MAIN: an embedding beside what else is in its row, wherever a page has room for it; out of line,
# an exact search takes twice as long.


def make_tables(connection: Connection, address: Address) -> None:
    """Make an archive, where there is none.

    Raises:
        FleetError: there is something else in its place, or PostgreSQL has no pgvector.
        psycopg.Error: it cannot be made.
    """
    if found(connection, address):
        return
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        if found(connection, address):  # another was faster
            return
        try:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        except (errors.FeatureNotSupported, errors.UndefinedFile):
            raise FleetError(
                f"{address.name}: the server has no pgvector: install it there, as Debian's "
                "postgresql-17-pgvector"
            ) from None
        exists = connection.execute("SELECT to_regnamespace(%s)", (address.schema,)).fetchone()
        if exists is None or exists[0] is None:
            schema = sql.Identifier(address.schema)
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(schema))
        connection.execute(sql.SQL(_TABLES).format(other=sql.Identifier(OTHER)))
        for name, state in PARTITIONS.items():
            connection.execute(
                sql.SQL("CREATE TABLE {} PARTITION OF sightings FOR VALUES IN ({})").format(
                    sql.Identifier(name), sql.Literal(state.name)
                )
            )
        connection.execute("INSERT INTO archive VALUES (1, %s)", (VERSION,))


def found(connection: Connection, address: Address) -> bool:
    """Whether there is an archive of this version.

    Raises:
        FleetError: there is something else.
    """
    table = f'"{address.schema}".archive'
    row = connection.execute("SELECT to_regclass(%s)", (table,)).fetchone()
    if row is None or row[0] is None:
        return False
    try:
        with connection.transaction():
            version = connection.execute("SELECT version FROM archive").fetchone()
    except errors.UndefinedColumn:
        version = None
    if version is None:
        raise FleetError(
            f"{address.name}: the table {address.schema}.archive is not an archive of denet, or is "
            "damaged: give another schema with the option schema, or restore a backup"
        )
    if version[0] != VERSION:
        raise FleetError(
            f"{address.name}: tables of version {version[0]}, but this version of denet knows "
            f"{VERSION}: install the denet that made them"
        )
    return True


def require(connection: Connection, address: Address) -> None:
    """See that there is an archive.

    Raises:
        FleetError: there is none, or something else.
    """
    if not found(connection, address):
        raise FleetError(
            f"{address.name}: there is no archive yet (make one with `denet fleet roles`, or "
            "`denet fleet run`, as a user who may make tables)"
        )


def give_roles(connection: Connection, address: Address, asks: str, keeps: str) -> list[str]:
    """Let one role ask questions, and one keep what comes and forget it; make them where they are
    not there. Neither can log in: users are made members of them.

    Args:
        connection: of who owns the tables, and may make roles.
        address: of the archive.
        asks, keeps: names of the roles.

    Returns:
        Which of them were made.

    Raises:
        psycopg.Error: it cannot be done; nothing was.
    """
    made = []
    with connection.transaction():
        for role, rights in ((asks, "SELECT"), (keeps, "SELECT, INSERT, UPDATE, DELETE")):
            name, schema = sql.Identifier(role), sql.Identifier(address.schema)
            there = "SELECT FROM pg_roles WHERE rolname = %s"
            if connection.execute(there, (role,)).fetchone() is None:
                connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(name))
                made.append(role)
            connection.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, name))
            connection.execute(
                sql.SQL("GRANT {} ON ALL TABLES IN SCHEMA {} TO {}").format(
                    sql.SQL(rights), schema, name
                )
            )
        # What came and could not be read may be anything: it is not for who asks.
        connection.execute(sql.SQL("REVOKE ALL ON aside FROM {}").format(sql.Identifier(asks)))
    return made
