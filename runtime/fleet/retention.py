"""Forgets what is too old, or too much: whole tracks, those whose last event came first."""

from __future__ import annotations

from runtime.fleet.settings import ArchiveSettings
from runtime.postgres.connecting import Connection

AT_ONCE = 500
"""Tracks of one transaction."""

LOCK = 0x444E4653
"""Whoever forgets holds this lock of the database; others leave it to them."""

DAY = 86400.0

BELONGING = ("events", "sightings", "pictures", "members", "former_members")
"""Tables of what goes with a track."""


def forget_old(connection: Connection, settings: ArchiveSettings) -> int:
    """Forget what `settings` do not keep.

    By when the last event of a track came, not by what the clock of its node said. What was set
    aside is as old as when it came.

    Args:
        connection: to the archive.
        settings: how long, and how much.

    Returns:
        How many tracks; 0 if another is at it.

    Raises:
        psycopg.Error: it cannot be done, or not all of it.
    """
    if settings.days is None and settings.bytes is None:
        return 0
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,)).fetchone()
    if row is None or not row[0]:
        return 0
    try:
        gone = 0
        if settings.days is not None:
            before = "now() - %s * interval '1 second'"
            age = settings.days * DAY
            while removed := _remove(connection, f"arrived < {before}", [age]):
                gone += removed
            connection.execute(f"DELETE FROM aside WHERE arrived < {before}", (age,))
        if settings.bytes is not None:
            gone += _make_room(connection, settings.bytes)
        return gone
    finally:
        if not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(%s)", (LOCK,))


def forget_track(connection: Connection, key: str) -> int:
    """Forget one track with all its events; how many tracks that were.

    Raises:
        psycopg.Error: it cannot be done.
    """
    return _remove(connection, "key = %s", [key])


def kept_bytes(connection: Connection) -> int:
    """Bytes of all that is kept: of tracks, and of what was set aside.

    Raises:
        psycopg.Error: they cannot be asked for.
    """
    query = "SELECT coalesce(sum(octet_length(body)), 0) FROM aside"
    row = connection.execute(query).fetchone()
    assert row is not None
    return track_bytes(connection) + int(row[0])


def track_bytes(connection: Connection) -> int:
    """Bytes of tracks with all that belongs to them, as `store` counts them.

    Raises:
        psycopg.Error: they cannot be asked for.
    """
    query = "SELECT coalesce(sum(bytes + event_bytes), 0) FROM tracks"
    row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def _make_room(connection: Connection, most: int) -> int:
    gone = 0
    excess = kept_bytes(connection) - most
    if excess > 0:
        # What nobody could read goes before what somebody can.
        connection.execute("DELETE FROM aside")
        excess = kept_bytes(connection) - most
    while excess > 0:
        row = connection.execute(
            "SELECT max(arrived) FROM (SELECT arrived, sum(bytes + event_bytes) OVER "
            "(ORDER BY arrived, key ROWS UNBOUNDED PRECEDING) - bytes - event_bytes AS before "
            "FROM tracks) AS t WHERE before < %s",
            (excess,),
        ).fetchone()
        if row is None or row[0] is None:
            break
        while removed := _remove(connection, "arrived <= %s", [row[0]]):
            gone += removed
        excess = kept_bytes(connection) - most
    return gone


def _remove(connection: Connection, which: str, values: list[object]) -> int:
    """Forget some of the tracks for which a condition holds; how many."""
    with connection.transaction():
        rows = connection.execute(
            f"DELETE FROM tracks WHERE key IN (SELECT key FROM tracks WHERE {which} "
            f"ORDER BY key LIMIT {AT_ONCE} FOR UPDATE) AND {which} RETURNING key",
            [*values, *values],
        ).fetchall()
        keys = [row[0] for row in rows]
        if keys:
            for table in BELONGING:
                connection.execute(f"DELETE FROM {table} WHERE track = ANY(%s)", (keys,))
    return len(keys)
