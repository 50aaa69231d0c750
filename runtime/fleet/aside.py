"""Messages that were set aside: what a person sees of them, and does with them."""

from __future__ import annotations

import time
from dataclasses import dataclass

from runtime.fleet.arrival import read_track_event
from runtime.fleet.errors import FleetError
from runtime.fleet.storing import SpaceIds, store
from runtime.postgres.connecting import Connection

AT_ONCE = 200


@dataclass(frozen=True)
class AsideArrival:
    """One that was set aside.

    Attributes:
        arrived: seconds since 1970.
        topic: on which it came.
        size: bytes.
        reason: why it cannot be stored.
    """

    arrived: float
    topic: str
    size: int
    reason: str


def list_aside(connection: Connection) -> list[AsideArrival]:
    """All of them, the oldest first.

    Raises:
        psycopg.Error: they cannot be read.
    """
    rows = connection.execute(
        "SELECT extract(epoch FROM arrived)::float8, topic, octet_length(body), reason FROM aside "
        "ORDER BY id"
    )
    return [AsideArrival(*row) for row in rows]


def retry_aside(connection: Connection) -> tuple[int, int]:
    """Store what this version of denet can read; how many messages that were, and how many remain.

    Raises:
        psycopg.Error: it cannot be done, or not all of it.
    """
    last = done = left = 0
    spaces = SpaceIds()
    while True:
        rows = connection.execute(
            "SELECT id, body FROM aside WHERE id > %s ORDER BY id LIMIT %s", (last, AT_ONCE)
        ).fetchall()
        if not rows:
            return done, left
        for number, body in rows:
            last = number
            try:
                event = read_track_event(body)
            except FleetError:
                left += 1
                continue
            with connection.transaction():
                store(connection, spaces, [event], [], time.time())
                connection.execute("DELETE FROM aside WHERE id = %s", (number,))
            done += 1


def drop_aside(connection: Connection) -> int:
    """Forget all of them; how many.

    Raises:
        psycopg.Error: it cannot be done.
    """
    return connection.execute("DELETE FROM aside").rowcount
