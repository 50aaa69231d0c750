"""What is stored of events: each once, in whatever order they come."""

from __future__ import annotations

import itertools
import random
import threading
from typing import Any

import numpy as np
import pytest

pytest.importorskip("psycopg", reason="needs psycopg: pip install '.[central]'")

from runtime.fleet.arrival import read_track_event
from runtime.fleet.errors import FleetError
from runtime.fleet.pooled_tracks import choose_cameras
from runtime.fleet.storing import Refused, SpaceIds, store
from runtime.node.events import Condition, EventIds, EventMatch, TrackEvent
from runtime.postgres.address import Address
from runtime.postgres.connecting import Connection, connect
from tests.runtime.fleet.drawn import JPEG, NOON, SPACE, body, event, pooled, put, unit

TABLES = {
    "tracks": "key, node, person, label, began, seen, boxes, embedded, states, match, ended, path",
    "sightings": "track, state, count, weight, agreement, embedding::text, seen",
    "pictures": "track, number, modality, time, jpeg",
    "events": "id, track, time, change",
}


def contents(archive: Connection) -> dict[str, list[Any]]:
    """All but when it arrived."""
    return {
        table: archive.execute(f"SELECT {columns} FROM {table} ORDER BY 1, 2, 3").fetchall()
        for table, columns in TABLES.items()
    }


def life(node: str, track: str, ids: EventIds, seed: int = 0) -> list[TrackEvent]:
    """The events of a track from its beginning to its end."""
    match = EventMatch(identity="alice", score=3.0, cosine=0.8, false_match_rate=0.001)
    one, two, three = (pooled(unit(seed + n), count=n) for n in (1, 2, 3))
    tir = pooled(unit(seed + 9), "tir")
    return [
        event(ids, track, "started", node=node, duration=0.0),
        event(ids, track, "updated", node=node, duration=10.0, embeddings=[one]),
        event(ids, track, "identified", node=node, duration=10.0, match=match, person="anon"),
        event(ids, track, "updated", node=node, duration=20.0, embeddings=[two, tir], match=match),
        # As `ended` is of the last moment, which an `updated` may have told.
        event(ids, track, node=node, duration=20.0, embeddings=[three, tir], crops=2, match=match),
    ]


def test_a_camera_is_a_node_or_one_of_its_heads(archive: Connection) -> None:
    ids = EventIds("gate-1")
    made = [event(ids, "track-1"), *(event(ids, "track-1", head=h) for h in ("east", "west"))]
    assert put(archive, made) == 3
    names = ["gate-1", "gate-1/east", "gate-1/west"]
    tracks = sorted(row[:2] for row in contents(archive)["tracks"])
    assert tracks == sorted((f"{n}/track-1", n) for n in names)
    assert [n for (n,) in archive.execute("SELECT node FROM cameras ORDER BY node")] == names
    assert {row[1].rpartition("/")[0] for row in contents(archive)["events"]} == set(names)
    assert choose_cameras(archive, "gate-1/*") == ("gate-1/east", "gate-1/west")


@pytest.mark.parametrize("head", ["", "a/b", "x" * 201])
def test_a_head_that_has_no_name_is_refused(head: str) -> None:
    assert read_track_event(body(event(head="east"))).camera == "gate-1/east"
    with pytest.raises(FleetError, match="is empty or too long, or the name of a node or a head"):
        read_track_event(body(event(head=head)))


def test_a_track_is_what_was_told_last(archive: Connection) -> None:
    events = life("gate-1", "track-1", EventIds("gate-1"))
    assert put(archive, events) == 5
    found = contents(archive)
    (track,) = found["tracks"]
    assert track[:6] == ("gate-1/track-1", "gate-1", None, "person", NOON, NOON + 20)
    assert track[9]["identity"] == "alice"
    assert track[10] is True
    assert track[11] == [[NOON, 1.0, 2.0], [NOON + 20, 3.0, 4.0]]
    assert [(row[1], row[2]) for row in found["sightings"]] == [("rgb+nir+tir", 3), ("tir", 3)]
    stored = np.array(eval(found["sightings"][0][5]), np.float32)
    np.testing.assert_array_equal(stored, unit(3).astype(np.float16).astype(np.float32))
    assert [row[:3] for row in found["pictures"]] == [
        ("gate-1/track-1", n, m) for n in (0, 1) for m in ("rgb", "tir")
    ]
    assert bytes(found["pictures"][0][4]) == JPEG
    assert [row[3] for row in found["events"]] == [e.track.change for e in events]


def test_the_order_of_arrival_changes_nothing(archive: Connection) -> None:
    """All 120 orders of the events of a track, one by one and in batches, some twice."""
    random.seed(0)
    expected: dict[str, list[Any]] | None = None
    events = life("gate-1", "track-1", EventIds("gate-1"))
    for arrival in itertools.permutations(events):
        for table in TABLES:
            archive.execute(f"DELETE FROM {table}")
        cut = random.randrange(6)
        again = random.choices(arrival, k=2)
        new = sum(put(archive, part) for part in (arrival[:cut], again, arrival[cut:], again))
        assert new == 5
        found = contents(archive)
        expected = expected or found
        assert found == expected, [e.track.change for e in arrival]


def test_events_that_come_twice_are_there_once(archive: Connection) -> None:
    events = life("gate-1", "track-1", EventIds("gate-1"))
    assert put(archive, [*events, *events]) == 5
    before = contents(archive)
    sizes = archive.execute("SELECT event_bytes, bytes FROM tracks").fetchall()
    assert put(archive, events) == 0
    assert contents(archive) == before
    assert archive.execute("SELECT event_bytes, bytes FROM tracks").fetchall() == sizes


def test_tracks_of_two_nodes_may_have_one_id(archive: Connection) -> None:
    put(archive, [event("a-1", node="a"), event("b-1", node="b")])
    assert [row[0] for row in contents(archive)["tracks"]] == ["a/track-1", "b/track-1"]


def test_another_bundle_replaces_what_is_pooled(archive: Connection) -> None:
    ids = EventIds("gate-1")
    put(archive, [event(ids, change="updated", duration=5.0)])
    # The new one has embedded nothing yet: what there was stays.
    put(archive, [event(ids, change="updated", duration=9.0, embeddings=[], checkpoint="c" * 64)])
    assert [row[2] for row in contents(archive)["sightings"]] == [3]
    short = pooled(unit(5, 4), "rgb", count=1)
    put(archive, [event(ids, duration=20.0, embeddings=[short], checkpoint="c" * 64)])
    assert [row[1:3] for row in contents(archive)["sightings"]] == [("rgb", 1)]
    spaces = archive.execute("SELECT dim, checkpoint FROM spaces ORDER BY id").fetchall()
    assert spaces == [(SPACE.dim, SPACE.checkpoint), (4, "c" * 64)]


def test_many_writers_of_the_same_events(archive: Connection, address: Address) -> None:
    """Eight workers get overlapping shares of all events in orders of their own; each is stored
    once, and nobody waits in a circle."""
    events = [
        made
        for node in ("a", "b", "c")
        for number in range(8)
        for made in life(node, f"track-{number}", EventIds(node), number)
    ]
    new: list[int] = []

    def write(seed: int) -> None:
        chance = random.Random(seed)
        mine = chance.sample(events, k=len(events) * 3 // 4)
        with connect(address) as connection:
            for start in range(0, len(mine), 7):
                new.append(put(connection, mine[start : start + 7]))

    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    new.append(put(archive, events))
    assert sum(new) == len(events)
    found = contents(archive)
    assert sorted(row[0] for row in found["events"]) == sorted(e.id for e in events)
    assert len(found["tracks"]) == 24
    assert all(row[10] for row in found["tracks"])


def test_what_is_set_aside_is_kept_once(archive: Connection) -> None:
    refused = Refused("denet/a/track", b"\x00 anything", "not an event")
    for _ in range(2):
        store(archive, SpaceIds(), [event()], [refused, refused], NOON)
    found = archive.execute("SELECT topic, reason, body FROM aside").fetchall()
    assert found == [("denet/a/track", "not an event", b"\x00 anything")]


def test_verdicts_are_kept(archive: Connection) -> None:
    ill = {"rgb": Condition(healthy=False, fault="black", reason="nothing is bright")}
    put(archive, [event().__class__(**{**_fields(event()), "verdicts": ill})])
    (row,) = archive.execute("SELECT verdicts, box FROM events").fetchall()
    assert row[0]["rgb"]["fault"] == "black"
    assert row[1] == {"left": 1.0, "top": 2.0, "right": 30.0, "bottom": 60.0}


def _fields(made: TrackEvent) -> dict[str, Any]:
    return {name: getattr(made, name) for name in made.__struct_fields__}
