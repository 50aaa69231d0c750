"""What an archive holds, and when each camera was heard last."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.fleet.retention import track_bytes
from runtime.gallery.space import Space
from runtime.postgres.connecting import Connection


@dataclass(frozen=True)
class HeardCamera:
    """A camera, as its events tell.

    Attributes:
        name: of the node.
        told: time of its last event, by its own clock; seconds since 1970.
        late: seconds after that at which the event came that was last.
        tracks: that are kept.
    """

    name: str
    told: float
    late: float
    tracks: int


@dataclass(frozen=True)
class ArchiveStanding:
    """What an archive holds.

    Attributes:
        cameras: by name.
        events, tracks, sightings, pictures: how many.
        identities: of those tracks that `denet fleet identify` has decided on.
        bytes: of all that, as retention counts them.
        spaces: what the sightings can be compared with.
    """

    cameras: tuple[HeardCamera, ...]
    events: int
    tracks: int
    sightings: int
    pictures: int
    identities: int
    bytes: int
    spaces: tuple[Space, ...]


def archive_standing(connection: Connection) -> ArchiveStanding:
    """Ask an archive.

    Raises:
        psycopg.Error: it cannot be asked.
    """
    cameras = connection.execute(
        "SELECT node, told, late, (SELECT count(*) FROM tracks t WHERE t.node = c.node) "
        "FROM cameras c ORDER BY node"
    ).fetchall()
    return ArchiveStanding(
        cameras=tuple(HeardCamera(*row) for row in cameras),
        events=_count(connection, "events"),
        tracks=_count(connection, "tracks"),
        sightings=_count(connection, "sightings"),
        pictures=_count(connection, "pictures"),
        identities=_count(connection, "(SELECT DISTINCT identity FROM members) AS known"),
        bytes=track_bytes(connection),
        spaces=tuple(known_spaces(connection)),
    )


def known_spaces(connection: Connection) -> dict[Space, int]:
    """What the embeddings of an archive can be compared with, and the number of each.

    Raises:
        psycopg.Error: it cannot be asked.
    """
    rows = connection.execute("SELECT dim, checkpoint, projection, id FROM spaces ORDER BY id")
    return {Space(*row[:3]): row[3] for row in rows}


def _count(connection: Connection, table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return int(row[0])
