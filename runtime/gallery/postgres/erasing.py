"""Gets what was removed out of the files of the tables, and says where it is still."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import sql

from runtime.gallery.managed import EVERYWHERE, Erased
from runtime.postgres.connecting import Connection, reason

REMAINS = (
    "the server's write-ahead log, until its files are used again: `CHECKPOINT` and time, and its "
    "archive if there is one",
    "backups of the server, and what pg_dump wrote: erase there, too, or let them expire",
    "replicas that do not follow at the moment, and snapshots of their disks",
    "the memory of nodes: until their next search, or as long as they cannot reach the database",
    *EVERYWHERE,
)


def rewritten(connection: Connection, entries: int, tables: Sequence[str]) -> Erased:
    """Write tables anew, without what was removed of them: PostgreSQL only marks it as dead.

    Args:
        connection: of who owns the tables, outside of a transaction.
        entries: how many were removed.
        tables: the partitions that they were in, as PostgreSQL spells them.
    """
    refusals: list[str] = []
    connection.add_notice_handler(note := _noted(refusals))
    try:
        for table in tables:
            connection.execute(sql.SQL("VACUUM (FULL) {}").format(sql.SQL(table)))
    except psycopg.Error as error:
        refusals.append(reason(error))
    finally:
        if not connection.closed:
            connection.remove_notice_handler(note)
    if not refusals:
        return Erased(entries, overwritten=True, remains=REMAINS)
    dead = (
        f"the files of the tables, as what is dead ({refusals[0]}): let their owner run "
        f"VACUUM (FULL) {', '.join(tables)}"
    )
    return Erased(entries, overwritten=False, remains=(dead, *REMAINS))


def _noted(refusals: list[str]):  # type: ignore[no-untyped-def]
    def note(diagnostic: psycopg.errors.Diagnostic) -> None:
        """A table that may not be rewritten is a warning, no error."""
        if diagnostic.severity_nonlocalized == "WARNING":
            refusals.append(diagnostic.message_primary or "refused")

    return note
