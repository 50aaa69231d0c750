"""Stores events in one transaction: each once, and of each track what was told last.

Events of one track come in any order, for workers share them. Within a track they are ordered by
whether it has ended, then by their time, then by the counter in their id; what is older than what
is there changes nothing but the list of events.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec
from psycopg import sql

from runtime.fleet.arrival import counter, halves, track_key
from runtime.gallery.space import Space
from runtime.node.events import TrackEvent
from runtime.postgres.connecting import Connection

ROW = 250
"""Bytes that a row of an event or a track takes beside its texts, about."""

Order = tuple[bool, float, int]

_EVENTS = """
INSERT INTO events (id, track, node, time, change, state, verdicts, box)
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::float8[], %s::text[], %s::text[],
                     %s::jsonb[], %s::jsonb[])
ON CONFLICT (id) DO NOTHING RETURNING id
"""

_FACTS = {
    "node": "text",
    "person": "text",
    "label": "text",
    "began": "float8",
    "seen": "float8",
    "boxes": "int4",
    "embedded": "int4",
    "states": "jsonb",
    "match": "jsonb",
    "bundle": "text",
    "ended": "bool",
    "told": "float8",
    "number": "int8",
}
"""Columns of a track that are those of its last event."""

_NEWER = "(tracks.ended, tracks.told, tracks.number) < (n.ended, n.told, n.number)"

_TRACKS = f"""
INSERT INTO tracks AS tracks (key, event_bytes, {", ".join(_FACTS)})
SELECT * FROM unnest(%s::text[], %s::int8[], {", ".join(f"%s::{t}[]" for t in _FACTS.values())})
ON CONFLICT (key) DO UPDATE SET
    {", ".join(f"{c} = CASE WHEN {_NEWER} THEN n.{c} ELSE tracks.{c} END" for c in _FACTS)},
    event_bytes = tracks.event_bytes + n.event_bytes,
    arrived = now()
""".replace("n.", "excluded.")

_PATHS = """
UPDATE tracks SET path = n.path, path_ended = n.ended, path_told = n.told, path_number = n.number,
    bytes = CASE WHEN n.whole THEN n.bytes ELSE tracks.bytes END
FROM unnest(%s::text[], %s::jsonb[], %s::bool[], %s::float8[], %s::int8[], %s::int8[], %s::bool[])
    AS n (key, path, ended, told, number, bytes, whole)
WHERE tracks.key = n.key AND (tracks.path_told IS NULL
    OR (tracks.path_ended, tracks.path_told, tracks.path_number) < (n.ended, n.told, n.number))
RETURNING tracks.key
"""

_SIGHTINGS = (
    "COPY sightings (track, state, node, began, seen, space, count, weight, agreement, embedding) "
    "FROM STDIN (FORMAT binary)"
)
_SIGHTING_TYPES = (
    *("text", "text", "text", "float8", "float8", "int4", "int4", "float8", "float8", "bytea"),
)

_PICTURES = "COPY pictures (track, number, modality, time, state, jpeg) FROM STDIN (FORMAT binary)"
_PICTURE_TYPES = ("text", "int4", "text", "float8", "text", "bytea")

_CAMERAS = """
INSERT INTO cameras (node, told, late)
SELECT * FROM unnest(%s::text[], %s::float8[], %s::float8[])
ON CONFLICT (node) DO UPDATE
SET told = greatest(cameras.told, excluded.told), late = excluded.late, arrived = now()
"""


@dataclass(frozen=True)
class Refused:
    """A message that cannot be stored as an event.

    Attributes:
        topic, body: as it came.
        reason: why, for a person.
    """

    topic: str
    body: bytes
    reason: str


class SpaceIds:
    """The numbers of spaces in an archive, as far as they were asked for."""

    def __init__(self) -> None:
        self._known: dict[Space, int] = {}

    def number(self, connection: Connection, space: Space) -> int:
        """That of a space, which is written down if it is new.

        Raises:
            psycopg.Error: it cannot be.
        """
        if space not in self._known:
            values = (space.dim, space.checkpoint, space.projection)
            connection.execute(
                "INSERT INTO spaces (dim, checkpoint, projection) VALUES (%s, %s, %s) "
                "ON CONFLICT DO NOTHING",
                values,
            )
            row = connection.execute(
                "SELECT id FROM spaces WHERE (dim, checkpoint, projection) = (%s, %s, %s)", values
            ).fetchone()
            assert row is not None
            self._known[space] = int(row[0])
        return self._known[space]


def store(
    connection: Connection,
    spaces: SpaceIds,
    events: Sequence[TrackEvent],
    refused: Sequence[Refused],
    now: float,
) -> int:
    """Store all of it, or nothing; when this returns it lasts.

    Args:
        connection: to the archive.
        spaces: numbers of spaces, those of transactions that were committed.
        events: as `read_track_event` lets them pass; several may have one id.
        refused: what is set aside.
        now: seconds since 1970.

    Returns:
        How many events were new.

    Raises:
        psycopg.Error: it cannot be stored.
    """
    numbered = [(spaces.number(connection, space_of(e)), e) for e in events if e.track.pooled]
    numbers = {event.id: number for number, event in numbered}
    with connection.transaction():
        # Everybody locks rows in one order, so that nobody waits for one another in a circle.
        fresh = _new_events(connection, sorted(events, key=lambda e: e.id))
        by_track: dict[str, list[TrackEvent]] = {}
        for event in sorted(fresh, key=order):
            by_track.setdefault(track_key(event), []).append(event)
        tracks = sorted(by_track.items())
        if tracks:
            _write_tracks(connection, tracks)
            _write_details(connection, tracks, numbers)
        if refused:
            set_aside(connection, refused)
        if fresh:
            _write_cameras(connection, fresh, now)
    return len(fresh)


def set_aside(connection: Connection, refused: Sequence[Refused]) -> None:
    """Keep messages that are no events, each once, within a transaction."""
    rows = [
        (r.topic.replace("\0", ""), r.reason.replace("\0", ""), r.body, sha256(r.body).digest())
        for r in refused
    ]
    connection.execute(
        "INSERT INTO aside (topic, reason, body, digest) "
        "SELECT * FROM unnest(%s::text[], %s::text[], %s::bytea[], %s::bytea[]) "
        "ON CONFLICT DO NOTHING",
        _columns(rows),
    )


def order(event: TrackEvent) -> Order:
    """By which the events of a track are ordered, in whatever order they come."""
    return (event.track.change == "ended", event.time, counter(event))


def space_of(event: TrackEvent) -> Space:
    """What the pooled embeddings of an event can be compared with."""
    return Space(event.track.pooled[0].dim, event.checkpoint, event.projection)


def _new_events(connection: Connection, events: Sequence[TrackEvent]) -> list[TrackEvent]:
    """Write down those that were not there; which they are."""
    if not events:
        return []
    rows = [
        (
            event.id,
            track_key(event),
            event.camera,
            event.time,
            event.track.change,
            event.state,
            _json(event.verdicts),
            None if event.box is None else _json(event.box),
        )
        for event in {event.id: event for event in events}.values()
    ]
    new = {row[0] for row in connection.execute(_EVENTS, _columns(rows))}
    first: dict[str, TrackEvent] = {}
    for event in events:
        if event.id in new:
            first[event.id] = event
    return list(first.values())


def _write_tracks(connection: Connection, tracks: Sequence[tuple[str, list[TrackEvent]]]) -> None:
    rows = []
    for key, events in tracks:
        last, track = events[-1], events[-1].track
        rows.append(
            (
                key,
                sum(ROW + len(_json(event.verdicts)) for event in events),
                last.camera,
                track.person,
                track.label,
                track.began,
                track.began + track.duration,
                track.boxes,
                track.embedded,
                _json(track.states),
                None if last.match is None else _json(last.match),
                last.bundle,
                *order(last),
            )
        )
    connection.execute(_TRACKS, _columns(rows))


def _write_details(
    connection: Connection,
    tracks: Sequence[tuple[str, list[TrackEvent]]],
    spaces: dict[str, int],
) -> None:
    """Path, embeddings and pictures, of the last event of each track that tells them."""
    detailed = {}
    for key, events in tracks:
        told = [event for event in events if event.track.change in ("updated", "ended")]
        if told:
            # What ends a track in a new space may have no embedding: that of before stays.
            pooled = [event for event in told if event.track.pooled]
            detailed[key] = (told[-1], (pooled or told)[-1])
    if not detailed:
        return
    rows = [
        (key, _json(last.track.path), *order(last), _size(whole), bool(whole.track.pooled))
        for key, (last, whole) in detailed.items()
    ]
    newer = {row[0] for row in connection.execute(_PATHS, _columns(rows))}
    sighted = [
        (key, whole) for key, (_, whole) in detailed.items() if key in newer and whole.track.pooled
    ]
    if sighted:
        connection.execute(
            "DELETE FROM sightings WHERE track = ANY(%s)", ([k for k, _ in sighted],)
        )
        _copy(connection, _SIGHTINGS, _SIGHTING_TYPES, _sightings(sighted, spaces))
    shown = [(k, last) for k, (last, _) in detailed.items() if k in newer and last.track.crops]
    if shown:
        connection.execute("DELETE FROM pictures WHERE track = ANY(%s)", ([k for k, _ in shown],))
        _copy(connection, _PICTURES, _PICTURE_TYPES, _pictures(shown))


def _sightings(
    tracks: Iterable[tuple[str, TrackEvent]], spaces: dict[str, int]
) -> Iterable[tuple[Any, ...]]:
    for key, event in tracks:
        track = event.track
        for pooled in track.pooled:
            # A halfvec: how many numbers, two bytes that are 0, the numbers.
            vector = pooled.dim.to_bytes(2, "big") + bytes(2) + halves(pooled)
            yield (
                *(key, pooled.state, event.camera, track.began, track.began + track.duration),
                *(spaces[event.id], pooled.count, pooled.weight, pooled.agreement, vector),
            )


def _pictures(tracks: Iterable[tuple[str, TrackEvent]]) -> Iterable[tuple[Any, ...]]:
    for key, event in tracks:
        for number, crop in enumerate(event.track.crops):
            for modality, jpeg in crop.pictures.items():
                yield key, number, modality, crop.time, crop.state, jpeg


def _size(event: TrackEvent) -> int:
    """Bytes of path, embeddings and pictures, about."""
    track = event.track
    return (
        30 * len(track.path)
        + sum(2 * pooled.dim + ROW for pooled in track.pooled)
        + sum(ROW + len(jpeg) for crop in track.crops for jpeg in crop.pictures.values())
    )


def _write_cameras(connection: Connection, events: Iterable[TrackEvent], now: float) -> None:
    last: dict[str, float] = {}
    for event in events:
        last[event.camera] = max(event.time, last.get(event.camera, 0.0))
    rows = [(node, told, now - told) for node, told in sorted(last.items())]
    connection.execute(_CAMERAS, _columns(rows))


def _copy(
    connection: Connection, query: str, types: Sequence[str], rows: Iterable[tuple[Any, ...]]
) -> None:
    with connection.cursor().copy(sql.SQL(query)) as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _json(value: Any) -> str:
    return json.dumps(msgspec.to_builtins(value), separators=(",", ":"))
