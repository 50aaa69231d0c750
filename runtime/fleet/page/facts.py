"""What the page shows, as plain data: cameras, tracks with their pictures, ways."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from denet.folders import FOLDERS
from runtime.fleet.following import Way, find_start, follow
from runtime.fleet.identities.keeping import owners_of
from runtime.fleet.identities.ways import find_identity, identity_way
from runtime.fleet.pooled_tracks import KeptTrack, Which, read_tracks
from runtime.fleet.searching import FoundTrack
from runtime.fleet.wording import PROBABLY, verdict
from runtime.postgres.connecting import Connection

MINUTES = 60
"""Of the past, that are shown of each camera."""

LATEST = 12
"""Tracks that are shown without being asked for."""

LONGEST = 300.0
"""Seconds without an event after which a camera is shown as silent: a node tells nothing while
nobody passes, so it may be well."""

_CAMERAS = """
SELECT c.node, c.told, c.late, e.verdicts FROM cameras c
LEFT JOIN LATERAL (SELECT key FROM tracks t WHERE t.node = c.node AND t.seen >= c.told - 86400
    ORDER BY t.seen DESC LIMIT 1) AS last ON true
LEFT JOIN LATERAL (SELECT verdicts FROM events WHERE track = last.key
    ORDER BY time DESC LIMIT 1) AS e ON true
ORDER BY c.node
"""

_MINUTES = """
SELECT node, ((%(now)s - seen) / 60)::int4, count(*) FROM tracks
WHERE seen >= %(now)s - 60 * %(minutes)s AND seen <= %(now)s GROUP BY 1, 2
"""


def cameras_shown(connection: Connection, now: float) -> list[dict[str, Any]]:
    """Each camera: when it told last, what its sensors were then, tracks of the last minutes.

    Raises:
        psycopg.Error: the archive cannot be asked.
    """
    passed: dict[str, list[int]] = {}
    rows = connection.execute(_MINUTES, {"now": now, "minutes": MINUTES}).fetchall()
    for node, ago, count in rows:
        passed.setdefault(node, [0] * MINUTES)[max(0, MINUTES - 1 - ago)] += count
    return [
        {
            "name": node,
            "told": told,
            "late": late,
            "silent": now - told > LONGEST,
            "sensors": {
                modality: {"healthy": bool(each.get("healthy")), "fault": each.get("fault")}
                for modality, each in sorted((verdicts or {}).items(), key=_place)
            },
            "minutes": passed.get(node, [0] * MINUTES),
        }
        for node, told, late, verdicts in connection.execute(_CAMERAS).fetchall()
    ]


def latest_shown(connection: Connection) -> list[dict[str, Any]]:
    """The tracks that were in view last.

    Raises:
        psycopg.Error: the archive cannot be asked.
    """
    keys = [
        row[0]
        for row in connection.execute(
            "SELECT key FROM tracks ORDER BY seen DESC, key LIMIT %s", (LATEST,)
        )
    ]
    tracks = read_tracks(connection, keys)
    return _shown(connection, [(tracks[key], "") for key in keys if key in tracks])


def found_shown(connection: Connection, found: Sequence[FoundTrack]) -> list[dict[str, Any]]:
    """Tracks that were found, and how sure each is.

    Raises:
        psycopg.Error: the archive cannot be asked.
    """
    return _shown(connection, [(each.track, verdict(each.rate, PROBABLY)) for each in found])


def way_shown(connection: Connection, name: str, scores: Path) -> dict[str, Any]:
    """Where somebody was, from camera to camera, the earliest first.

    Args:
        connection: to the archive.
        name: a track, or an identity, as of `denet fleet follow`.
        scores: file of `denet gallery calibrate`.

    Raises:
        FleetError: there is nothing of that name, or it was never embedded.
        GalleryError: the scores cannot be read, or do not fit.
        psycopg.Error: the archive cannot be asked.
    """
    key, identity = find_identity(connection, name, alone=False)
    if identity is not None:
        way = identity_way(connection, identity, key, Which(), scores)
    else:
        start, person = find_start(connection, key, scores)
        way = follow(connection, start, person, Which(), PROBABLY)
    tracks = _tracks_of(way)
    tracks.sort(key=lambda each: (each[0].began, each[0].key))
    return {"identity": way.identity, "tracks": _shown(connection, tracks)}


def _place(named: str | tuple[str, Any]) -> tuple[int, str]:
    """Of a modality among others, as they are always named."""
    name = named if isinstance(named, str) else named[0]
    known = list(FOLDERS)
    return known.index(name) if name in known else len(known), name


def _tracks_of(way: Way) -> list[tuple[KeptTrack, str]]:
    tracks = [(each.track, verdict(each.rate, PROBABLY)) for each in way.found]
    if way.start is not None:
        tracks.append((way.start, "asked about"))
    return tracks


def _shown(connection: Connection, tracks: Sequence[tuple[KeptTrack, str]]) -> list[dict[str, Any]]:
    keys = [track.key for track, _ in tracks]
    owners = owners_of(connection, keys)
    pictures: dict[str, list[str]] = {}
    query = "SELECT track, modality FROM pictures WHERE number = 0 AND track = ANY(%s)"
    for key, modality in connection.execute(query, (keys,)).fetchall():
        pictures.setdefault(key, []).append(modality)
    return [
        {
            "key": track.key,
            "camera": track.camera,
            "began": track.began,
            "seen": track.seen,
            "states": list(track.states),
            "words": words,
            "identity": owners.get(track.key),
            "pictures": sorted(pictures.get(track.key, ()), key=_place),
        }
        for track, words in tracks
    ]
