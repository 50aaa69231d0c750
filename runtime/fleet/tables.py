"""The tables of an archive: made, recognized, and opened for roles."""

from __future__ import annotations

from psycopg import sql

from denet.graph import RGB_NIR_TIR
from runtime.fleet.errors import FleetError
from runtime.postgres import tables
from runtime.postgres.address import Address
from runtime.postgres.connecting import Connection
from runtime.postgres.tables import TableKind, divide, grant, prepare

VERSION = 2
"""Of the tables. Those of version 1 know no identities."""

KIND = TableKind("archive", "an archive", VERSION, FleetError, "knows")

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

_IDENTITIES = """
CREATE TABLE members (
    track text PRIMARY KEY,
    identity text NOT NULL,
    space integer NOT NULL,
    ended boolean NOT NULL,
    told double precision NOT NULL,
    number bigint NOT NULL,
    decided timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON members (identity);
CREATE TABLE former_members (
    track text NOT NULL,
    identity text NOT NULL,
    until timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (track, identity)
);
CREATE INDEX ON former_members (identity)
"""


def make_tables(connection: Connection, address: Address) -> None:
    """Make an archive, where there is none; bring one of before up to date.

    Raises:
        FleetError: there is something else in its place, or PostgreSQL has no pgvector.
        psycopg.Error: it cannot be made.
    """
    if _whole(connection, address):
        return
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        if _whole(connection, address):  # another was faster
            return
        if tables.found_version(connection, address, KIND) is None:
            prepare(connection, address, KIND)
            connection.execute(sql.SQL(_TABLES).format(other=sql.Identifier(OTHER)))
            divide(connection, "sightings", PARTITIONS)
            connection.execute("INSERT INTO archive VALUES (1, %s)", (VERSION,))
        connection.execute(_IDENTITIES)
        _let_the_same(connection, address)
        connection.execute("UPDATE archive SET version = %s", (VERSION,))


def found(connection: Connection, address: Address) -> bool:
    """Whether there is an archive of this version.

    Raises:
        FleetError: there is something else.
    """
    if tables.found_version(connection, address, KIND) == 1:
        raise FleetError(
            f"{address.name}: an archive without identities, of an earlier denet: bring it up to "
            "date with `denet fleet roles`, as the owner of its tables"
        )
    return tables.found(connection, address, KIND)


def _let_the_same(connection: Connection, address: Address) -> None:
    """Let who may use tracks use their identities in the same way."""
    rights = connection.execute(
        "SELECT grantee, privilege_type FROM information_schema.role_table_grants "
        "WHERE table_schema = %s AND table_name = 'tracks' AND grantee <> current_user "
        "AND privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')",
        (address.schema,),
    ).fetchall()
    for role, right in rights:
        connection.execute(
            sql.SQL("GRANT {} ON members, former_members TO {}").format(
                sql.SQL(right), sql.Identifier(role)
            )
        )


def _whole(connection: Connection, address: Address) -> bool:
    """Whether there is nothing to be made.

    Raises:
        FleetError: there is something else, or an archive of a later version.
    """
    return tables.found_version(connection, address, KIND) != 1 and found(connection, address)


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
    with connection.transaction():
        rights = {asks: "SELECT", keeps: "SELECT, INSERT, UPDATE, DELETE"}
        made = grant(connection, address, rights)
        # What came and could not be read may be anything: it is not for who asks.
        connection.execute(sql.SQL("REVOKE ALL ON aside FROM {}").format(sql.Identifier(asks)))
    return made
