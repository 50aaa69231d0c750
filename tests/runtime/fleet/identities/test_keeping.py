"""Identities in an archive: as tracks come, when more is seen, when somebody is forgotten."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

pytest.importorskip("psycopg", reason="needs psycopg: pip install '.[central]'")

from runtime.fleet.identities.identifying import Identifier
from runtime.fleet.identities.keeping import identities_of
from runtime.fleet.retention import forget_track
from runtime.fleet.settings import IdentitySettings, TransitSettings
from runtime.node.events import EventIds, TrackEvent
from runtime.postgres.connecting import Connection
from tests.runtime.fleet.drawn import NOON, SPACE, event, pooled, put, unit
from tests.runtime.fleet.identities.idf1 import brute_force_idf1
from tests.runtime.fleet.identities.walks import line_settings, walk_scores, walks

COMPLETE = "rgb+nir+tir"


def identifier(
    archive: Connection, settings: IdentitySettings | None = None, noise: float = 0.5
) -> Identifier:
    row = archive.execute("SELECT id FROM spaces").fetchone()
    assert row is not None
    return Identifier(settings or line_settings(), walk_scores(noise), int(row[0]), print)


def settle(archive: Connection, made: Identifier, *, again: bool = True) -> int:
    """Decide all that waits; how many tracks were corrected."""
    corrected = 0
    while (done := made.step(archive, again=again)) is not None:
        corrected += done.corrected
        if not again and not done.tracks:
            break
    return corrected


def owners(archive: Connection) -> dict[str, str]:
    return dict(archive.execute("SELECT track, identity FROM members").fetchall())


def nobody_is_in_two_places(found: Mapping[str, str], events: Sequence[TrackEvent]) -> bool:
    times = defaultdict(list)
    for each in events:
        facts, key = each.track, f"{each.node}/{each.track.id}"
        if key in found:
            times[found[key]].append((facts.began, facts.began + facts.duration))
    return all(
        one[1] <= other[0] + 1.0
        for seen in times.values()
        for one, other in zip(sorted(seen), sorted(seen)[1:], strict=False)
    )


@pytest.mark.parametrize("again", [False, True])
def test_as_tracks_come(archive: Connection, again: bool) -> None:
    """Seven people in seven minutes, told of in small parts."""
    events, truth = walks(7, 3, noise=0.5, every=60)
    made = None
    for start in range(0, len(events), 3):
        put(archive, events[start : start + 3])
        made = made or identifier(archive)
        settle(archive, made, again=again)
    found = owners(archive)
    assert found.keys() == truth.keys()
    assert brute_force_idf1(truth, found) >= 0.95
    assert nobody_is_in_two_places(found, events)
    assert all(name.startswith("identity-") for name in found.values())


@pytest.mark.parametrize("seed", [0, 1])
def test_whatever_order_they_come_in(archive: Connection, seed: int) -> None:
    """Outboxes that were cut off send late: the answer is as good, and nobody is twice in view."""
    events, truth = walks(7, 4, noise=0.5, every=60)
    order = np.random.default_rng(seed).permutation(len(events))
    put(archive, [events[order[0]]])
    made = identifier(archive)
    for part in np.array_split(order, 7):
        put(archive, [events[n] for n in part])
        settle(archive, made)
    found = owners(archive)
    assert brute_force_idf1(truth, found) >= 0.9
    assert nobody_is_in_two_places(found, events)


def seen(
    ids: EventIds, name: str, camera: str, began: float, face: int, duration: float = 10.0
) -> TrackEvent:
    """Somebody who always looks the same."""
    return event(
        ids,
        name,
        node=camera,
        began=NOON + began,
        duration=duration,
        embeddings=[pooled(unit(face), COMPLETE, agreement=1.0)],
    )


def test_an_id_that_was_joined_still_answers(archive: Connection) -> None:
    """Who was two is one when the track between comes late: the id of before leads there."""
    ids = EventIds("line")
    ends = [seen(ids, "first", "door", 0, 1), seen(ids, "last", "yard", 120, 2)]
    put(archive, ends)
    made = identifier(archive)
    settle(archive, made)
    before = owners(archive)
    assert len(set(before.values())) == 2
    # It turns out that the second was seen badly: the end of its track shows it better.
    put(archive, [seen(ids, "between", "hall", 55, 1)])
    put(archive, [seen(ids, "last", "yard", 120, 1, 11.0)])
    corrected = settle(archive, made)
    now = owners(archive)
    assert len(set(now.values())) == 1
    assert corrected == 1
    (name,) = set(now.values())
    for old in before.values():
        assert identities_of(archive, old) == {name: sorted(now)}
    assert identities_of(archive, "identity-none") == {}


def test_an_id_that_was_taken_apart_says_so(archive: Connection) -> None:
    ids = EventIds("line")
    put(archive, [seen(ids, "first", "door", 0, 1), seen(ids, "last", "hall", 55, 1)])
    made = identifier(archive)
    settle(archive, made)
    (old,) = set(owners(archive).values())
    put(archive, [seen(ids, "last", "hall", 55, 2, 11.0)])
    settle(archive, made)
    now = owners(archive)
    assert len(set(now.values())) == 2
    parts = identities_of(archive, old)
    assert old in parts
    assert sorted(key for keys in parts.values() for key in keys) == sorted(now)


def test_what_is_settled_is_not_undone(archive: Connection) -> None:
    """Ids of long ago stay, whatever comes after the window."""
    events, _ = walks(5, 6, noise=0.5, every=60)
    put(archive, events)
    made = identifier(archive)
    settle(archive, made)
    before = owners(archive)
    later = [
        event(EventIds("later"), f"later-{n}", node="door", began=NOON + 4000 + 30 * n,
              embeddings=each.track.pooled)
        for n, each in enumerate(events)
    ]  # fmt: skip
    put(archive, later)
    settle(archive, made)
    now = owners(archive)
    assert {key: now[key] for key in before} == before
    assert not {now[key] for key in now if key not in before} & set(before.values())


def test_who_is_forgotten_has_no_identity(archive: Connection) -> None:
    ids = EventIds("line")
    put(archive, [seen(ids, "first", "door", 0, 1), seen(ids, "last", "hall", 55, 1)])
    settle(archive, identifier(archive))
    archive.execute("INSERT INTO former_members (track, identity) VALUES ('door/first', 'old')")
    (name,) = set(owners(archive).values())
    assert forget_track(archive, "door/first") == 1
    assert identities_of(archive, name) == {name: ["hall/last"]}
    assert archive.execute("SELECT * FROM former_members").fetchall() == []
    assert forget_track(archive, "hall/last") == 1
    assert identities_of(archive, name) == {}


def test_tracks_of_another_model_are_left_alone(archive: Connection) -> None:
    ids = EventIds("line")
    put(archive, [seen(ids, "first", "door", 0, 1)])
    short = pooled(unit(5, 4), "rgb")
    put(archive, [event(ids, "other", node="hall", began=NOON + 55, embeddings=[short])])
    put(archive, [event(ids, "blind", node="hall", began=NOON + 99, embeddings=[])])
    made = identifier(archive)
    settle(archive, made)
    assert owners(archive).keys() == {"door/first"}
    assert walk_scores(0.5).space == SPACE


def test_cameras_that_see_the_same_place(archive: Connection) -> None:
    """One person in both at once, where their views overlap; two persons, where they do not."""
    ids = EventIds("line")
    put(archive, [seen(ids, "one", "door", 0, 1), seen(ids, "other", "side", 3, 1)])
    settle(archive, identifier(archive))
    assert len(set(owners(archive).values())) == 2
    archive.execute("DELETE FROM members")
    beside = TransitSettings(origin="door", to="side", seconds=(-20.0, 30.0))
    settle(archive, identifier(archive, line_settings(transits=(beside,))))
    assert len(set(owners(archive).values())) == 1


def test_two_who_come_at_once_compete(archive: Connection) -> None:
    """Both look like the one who left; the more alike is that one, the other somebody new."""
    ids = EventIds("line")
    random = np.random.default_rng(0)
    face = unit(1)
    near = face + 0.8 * random.standard_normal(64).astype(np.float32) / 8
    alike = event(
        ids, "alike", node="hall", began=NOON + 50, duration=10.0,
        embeddings=[pooled(near / np.linalg.norm(near), COMPLETE, agreement=1.0)],
    )  # fmt: skip
    put(archive, [seen(ids, "first", "door", 0, 1), alike, seen(ids, "same", "hall", 52, 1)])
    settle(archive, identifier(archive), again=False)
    found = owners(archive)
    assert found["door/first"] == found["hall/same"] != found["hall/alike"]
