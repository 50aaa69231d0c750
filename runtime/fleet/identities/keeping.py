"""Identities in the archive: which tracks wait for one, who is near them, and what was decided.

An identity is the tracks that have its id; there is nothing else of it. A track that gets another
id leaves a trace, so that a question with the id of before finds where its tracks are now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runtime.fleet.pooled_tracks import KeptTrack, read_tracks
from runtime.postgres.connecting import Connection

Stamp = tuple[bool, float, int]
"""Of a track: what its last event is ordered by, see `runtime.fleet.storing.order`."""

_WAITING = """
SELECT t.key, t.ended, t.told, t.number FROM tracks t
WHERE t.arrived >= coalesce(
        (SELECT max(arrived) FROM tracks) - %(last)s * interval '1 second', '-infinity')
    AND NOT EXISTS (SELECT FROM members m WHERE m.track = t.key AND m.space = %(space)s
        AND (m.ended, m.told, m.number) >= (t.ended, t.told, t.number))
    AND EXISTS (SELECT FROM sightings s WHERE s.track = t.key AND s.space = %(space)s)
ORDER BY t.began, t.key LIMIT %(most)s
"""

_NEAR = """
SELECT t.key, m.identity FROM tracks t
LEFT JOIN members m ON m.track = t.key AND m.space = %(space)s
WHERE t.seen >= %(since)s AND t.began <= %(until)s
    AND EXISTS (SELECT FROM sightings s WHERE s.track = t.key AND s.space = %(space)s)
ORDER BY t.key <> ALL(%(chosen)s), abs(t.began - %(middle)s), t.key LIMIT %(most)s
"""

_DECIDE = """
INSERT INTO members AS m (track, identity, space, ended, told, number)
SELECT * FROM unnest(%s::text[], %s::text[], %s::int4[], %s::bool[], %s::float8[], %s::int8[])
ON CONFLICT (track) DO UPDATE SET identity = excluded.identity, space = excluded.space,
    ended = excluded.ended, told = excluded.told, number = excluded.number,
    decided = CASE WHEN m.identity = excluded.identity THEN m.decided ELSE now() END
"""

_TRACE = """
INSERT INTO former_members (track, identity)
SELECT m.track, m.identity FROM members m
JOIN unnest(%s::text[], %s::text[]) AS n (track, identity) ON n.track = m.track
WHERE m.identity <> n.identity
ON CONFLICT (track, identity) DO UPDATE SET until = now()
"""


@dataclass(frozen=True)
class Neighbour:
    """A track and whose it is.

    Attributes:
        track: which.
        identity: its id; None while it waits for one.
    """

    track: KeptTrack
    identity: str | None


def waiting_tracks(
    connection: Connection, space: int, most: int, last: float | None = None
) -> dict[str, Stamp]:
    """Tracks that were embedded, and have no identity or were told of again since: the earliest.

    Args:
        connection: to the archive.
        space: number of that in which they are compared.
        most: tracks, at most.
        last: seconds before the last arrival, of which alone they are; None for all.

    Raises:
        psycopg.Error: they cannot be read.
    """
    values = {"space": space, "most": most, "last": last}
    rows = connection.execute(_WAITING, values, prepare=False).fetchall()
    return {key: (ended, told, number) for key, ended, told, number in rows}


def near_tracks(
    connection: Connection,
    space: int,
    interval: tuple[float, float],
    most: int,
    chosen: Sequence[str] = (),
) -> list[Neighbour]:
    """Tracks that were embedded and in view in an interval, in the order of their beginnings.

    Args:
        connection: to the archive.
        space: number of that in which they are compared.
        interval: seconds since 1970.
        most: tracks, at most: those that began nearest to the middle.
        chosen: keys of those that are among them wherever they are.

    Raises:
        psycopg.Error: they cannot be read.
    """
    since, until = interval
    values = {"space": space, "since": since, "until": until, "middle": (since + until) / 2}
    limits = {"chosen": list(chosen), "most": most}
    owners: dict[str, str | None] = dict(connection.execute(_NEAR, {**values, **limits}).fetchall())
    tracks = read_tracks(connection, owners)
    found = [Neighbour(track, owners[key]) for key, track in tracks.items()]
    return sorted(found, key=lambda each: (each.track.began, each.track.key))


def decide(
    connection: Connection, space: int, owners: Mapping[str, str], stamps: Mapping[str, Stamp]
) -> int:
    """Write down whose tracks are, with a trace of whose they were; within a transaction.

    Args:
        connection: to the archive.
        space: number of that in which they were compared.
        owners: ids by track; tracks that were forgotten meanwhile are left out.
        stamps: of those tracks, when they were looked at.

    Returns:
        How many tracks were another identity's before.

    Raises:
        psycopg.Error: it cannot be written.
    """
    # Who forgets a track waits until this is committed, and then forgets whose it was as well.
    query = "SELECT key FROM tracks WHERE key = ANY(%s) ORDER BY key FOR KEY SHARE"
    there = [row[0] for row in connection.execute(query, (sorted(owners),))]
    moved = connection.execute(_TRACE, (there, [owners[key] for key in there])).rowcount
    rows = [(key, owners[key], space, *stamps[key]) for key in there]
    if rows:
        columns: list[Sequence[object]] = [list(c) for c in zip(*rows, strict=True)]
        connection.execute(_DECIDE, columns)
    return moved


def stamps_of(connection: Connection, keys: Sequence[str]) -> dict[str, Stamp]:
    """Of tracks with an identity: as they were when they were looked at.

    Raises:
        psycopg.Error: they cannot be read.
    """
    rows = connection.execute(
        "SELECT track, ended, told, number FROM members WHERE track = ANY(%s)", (list(keys),)
    )
    return {key: (ended, told, number) for key, ended, told, number in rows}


def identities_of(connection: Connection, name: str) -> dict[str, list[str]]:
    """Where the tracks of an id are now: tracks by the id that they have. It is several if it was
    split, and another one if it was joined.

    Args:
        connection: to the archive.
        name: an id that there is or was.

    Returns:
        Keys of all tracks of those identities; nothing if there never was such an id.

    Raises:
        psycopg.Error: they cannot be read.
    """
    rows = connection.execute(
        "SELECT identity, track FROM members WHERE identity IN ("
        "SELECT identity FROM members WHERE identity = %(name)s UNION "
        "SELECT m.identity FROM members m JOIN former_members f ON f.track = m.track "
        "WHERE f.identity = %(name)s) ORDER BY identity, track",
        {"name": name},
    )
    found: dict[str, list[str]] = {}
    for identity, key in rows:
        found.setdefault(identity, []).append(key)
    return found


def owners_of(connection: Connection, keys: Sequence[str]) -> dict[str, str]:
    """The ids of tracks that have one.

    Raises:
        psycopg.Error: they cannot be read.
    """
    rows = connection.execute(
        "SELECT track, identity FROM members WHERE track = ANY(%s)", (list(keys),)
    )
    return dict(rows.fetchall())
