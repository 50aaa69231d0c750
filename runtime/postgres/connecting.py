"""Connects to PostgreSQL, and tells its errors in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import errors, sql

from denet.errors import DenetError
from runtime.postgres.address import Address

Connection = psycopg.Connection[tuple[Any, ...]]

PATIENCE = 5
"""Seconds to connect, to wait for another writer, and for a network that takes nothing."""

GONE = (psycopg.OperationalError, psycopg.InterfaceError)
"""What says that the server, or the way to it, is gone; a later try may be better."""

_UNREACHABLE = (
    ("certificate verify failed", "its authority is unknown: give its file with the option ca"),
    ("does not match host name", "connect to the name that its certificate has"),
    ("does not support SSL", "a password and people's data go over TLS, except on loopback"),
    ("password authentication failed", "check the user and the password file"),
    ("no password supplied", "give it with the option password_file or password_env"),
    ("pg_hba.conf", "the server lets nobody in from here as this user and in this way"),
)
"""What to do about a connection that is refused, by a part of the reason."""

_REASONS: dict[type[psycopg.Error], str] = {
    errors.InsufficientPrivilege: "this user may not do that (see `denet gallery roles` and "
    "`denet fleet roles`)",
    errors.LockNotAvailable: f"another is writing to it and was not done in {PATIENCE} s: "
    "try again",
    errors.DiskFull: "the disk of the server is full",
    errors.ReadOnlySqlTransaction: "the server is a replica, or read-only: connect to the one that "
    "takes changes",
    errors.UndefinedTable: "its tables are gone: restore a backup",
    errors.UndefinedColumn: "its tables are not those that this version of denet makes",
}


def connect(address: Address) -> Connection:
    """A connection that begins and ends transactions by name.

    Raises:
        psycopg.OperationalError: there is none to be had.
    """
    connection = psycopg.connect(
        **address.parameters(),  # type: ignore[arg-type]
        autocommit=True,
        connect_timeout=PATIENCE,
        tcp_user_timeout=1000 * PATIENCE,
        keepalives_idle=2 * PATIENCE,
        keepalives_interval=PATIENCE,
    )
    try:
        extension = connection.execute(
            "SELECT nspname FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace "
            "WHERE extname = 'vector'"
        ).fetchone()
        path = [address.schema, "public" if extension is None else str(extension[0])]
        names = sql.SQL(", ").join(map(sql.Identifier, path))
        connection.execute(sql.SQL("SET search_path = {}").format(names))
        connection.execute(f"SET lock_timeout = '{PATIENCE}s'")
        # It compiles for longer than it saves, once a gallery is large enough for it.
        connection.execute("SET jit = off")
        # What is acknowledged lasts, whatever was set for the role.
        connection.execute(
            "SELECT set_config('synchronous_commit', 'on', false) "
            "WHERE current_setting('synchronous_commit') = 'off'"
        )
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def in_plain_words(address: Address, error: type[DenetError]) -> Iterator[None]:
    """Tell errors of PostgreSQL as what they mean.

    Raises:
        error: instead of them; names the address.
    """
    try:
        yield
    except psycopg.Error as found:
        raise error(f"{address.name}: {reason(found)}") from None


def is_refusal(error: psycopg.Error) -> bool:
    """Whether a connection was refused for what somebody has to mend: the server is there."""
    return any(part in str(error) for part, _ in _UNREACHABLE)


def reason(error: psycopg.Error) -> str:
    """What happened, in one line, and what to do where that is known."""
    for kind, words in _REASONS.items():
        if isinstance(error, kind):
            return words
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # Of several addresses of a host, the last is as good as the first.
    text = next((line for line in lines if "failed" in line), lines[0] if lines else "")
    text = text.removeprefix("connection failed: ") or type(error).__name__
    for part, advice in _UNREACHABLE:
        if part in str(error):
            return f"{text}: {advice}"
    return text
