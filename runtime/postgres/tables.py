"""Tables of ours in a schema of a database: recognized, prepared for, and opened for roles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import errors, sql

from denet.errors import DenetError
from denet.graph import State
from runtime.postgres.address import Address
from runtime.postgres.connecting import Connection


@dataclass(frozen=True)
class TableKind:
    """What tables are of.

    Attributes:
        table: has a column `version` in all versions that will ever be.
        what: they are, for a person, as "a gallery".
        version: of the tables.
        error: to raise.
        verb: what a version of denet does with tables of its version.
    """

    table: str
    what: str
    version: int
    error: type[DenetError]
    verb: str = "reads"


def found(connection: Connection, address: Address, kind: TableKind) -> bool:
    """Whether there are tables of this kind and version.

    Raises:
        kind.error: there is something else in their place.
    """
    version = found_version(connection, address, kind)
    if version not in (None, kind.version):
        raise kind.error(
            f"{address.name}: tables of version {version}, but this version of denet "
            f"{kind.verb} {kind.version}: install the denet that made them"
        )
    return version is not None


def found_version(connection: Connection, address: Address, kind: TableKind) -> int | None:
    """The version of the tables of this kind, whatever it is; None if there are none.

    Raises:
        kind.error: there is something else in their place.
    """
    table = f'"{address.schema}".{kind.table}'
    row = connection.execute("SELECT to_regclass(%s)", (table,)).fetchone()
    if row is None or row[0] is None:
        return None
    query = sql.SQL("SELECT version FROM {}").format(sql.Identifier(kind.table))
    try:
        with connection.transaction():
            version = connection.execute(query).fetchone()
    except errors.UndefinedColumn:
        version = None
    if version is None:
        raise kind.error(
            f"{address.name}: the table {address.schema}.{kind.table} is not {kind.what} of denet, "
            "or is damaged: give another schema with the option schema, or restore a backup"
        )
    return int(version[0])


def prepare(connection: Connection, address: Address, kind: TableKind) -> None:
    """Have pgvector, and the schema in which tables are made.

    Raises:
        kind.error: PostgreSQL has no pgvector.
        psycopg.Error: they cannot be made.
    """
    try:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    except (errors.FeatureNotSupported, errors.UndefinedFile):
        raise kind.error(
            f"{address.name}: the server has no pgvector: install it there, as Debian's "
            "postgresql-17-pgvector"
        ) from None
    exists = connection.execute("SELECT to_regnamespace(%s)", (address.schema,)).fetchone()
    if exists is None or exists[0] is None:
        schema = sql.Identifier(address.schema)
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(schema))


def divide(connection: Connection, table: str, partitions: Mapping[str, State]) -> None:
    """Make a partition of `table` for each state, under the names that are given."""
    for name, state in partitions.items():
        connection.execute(
            sql.SQL("CREATE TABLE {} PARTITION OF {} FOR VALUES IN ({})").format(
                sql.Identifier(name), sql.Identifier(table), sql.Literal(state.name)
            )
        )


def grant(connection: Connection, address: Address, rights: Mapping[str, str]) -> list[str]:
    """Give roles rights on all tables of a schema; make those that are not there, without a login.

    Args:
        connection: of who owns the tables, and may make roles.
        address: of the schema.
        rights: by role, as "SELECT, INSERT".

    Returns:
        Which roles were made.
    """
    made = []
    schema = sql.Identifier(address.schema)
    for role, allowed in rights.items():
        name = sql.Identifier(role)
        there = "SELECT FROM pg_roles WHERE rolname = %s"
        if connection.execute(there, (role,)).fetchone() is None:
            connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(name))
            made.append(role)
        connection.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, name))
        connection.execute(
            sql.SQL("GRANT {} ON ALL TABLES IN SCHEMA {} TO {}").format(
                sql.SQL(allowed), schema, name
            )
        )
    return made
