"""Tracks from boxes and embeddings to events."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denet.graph import Modality, State
from runtime.node.announcer import Announcer, Sighting
from runtime.node.events import Event, EventMatch, TrackEvent, TrackFacts
from runtime.node.stage_items import Crop, Moment, Wanted
from runtime.node.tracks.correction import Correction
from runtime.node.tracks.likeness import Likeness
from runtime.node.tracks.settings import TrackSettings
from runtime.node.tracks.tracks import NOTHING_NEW, UNCONFIRMED, Tracks
from tests.paths import ROOT
from tests.runtime.node.parts import WELL, Remembered, ignore
from tests.runtime.node.tracks.parts import FULL, SPACE, near, scores, seen

PICTURE = np.random.default_rng(0).integers(0, 256, (60, 30, 3), dtype=np.uint8)


class Scene:
    """A node's tracks, with people whose embeddings are known by their names."""

    def __init__(self, *, scored: bool = True, **changes: Any) -> None:
        self.sink = Remembered()
        self.known: list[EventMatch] = []
        self.chance = np.random.default_rng(7)
        announcer = Announcer("n", self.sink, "float32", ignore)
        self.likeness = Likeness(scores(), 2.0) if scored else Likeness(None, 0.8)
        self.tracks = Tracks(
            TrackSettings(**changes),
            announcer,
            (30, 60),
            self.likeness,
            "float32",
            lambda _sighting, match: self.known.append(match),
        )
        self.answers: list[list[Wanted | str]] = []

    def moment(
        self,
        time: float,
        people: Mapping[str, float],
        modalities: Sequence[Modality] = FULL.available,
        *,
        embed: bool = True,
        identities: Mapping[str, str] | None = None,
    ) -> list[Wanted | str]:
        found = seen(*people.values())
        images = [dict.fromkeys(modalities, PICTURE) for _ in found]
        at = Moment(time, {}, WELL)
        answers = self.tracks.see(at, found, images, (2000, 1000))
        self.answers.append(answers)
        if embed:
            self.embed(time, dict(zip(people, answers, strict=True)), modalities, identities or {})
        return answers

    def embed(
        self,
        time: float,
        answers: Mapping[str, Wanted | str],
        modalities: Sequence[Modality],
        identities: Mapping[str, str],
    ) -> None:
        names = ["alice", "bob", "carol", "dan", "eve"]
        crops, sightings = [], []
        for name, wanted in answers.items():
            if isinstance(wanted, str):
                continue
            images = dict.fromkeys(modalities, PICTURE)
            crops.append(Crop(time, images, None, WELL, wanted))
            vector = near(np.eye(8, dtype=np.float32)[names.index(name)], self.chance)
            state = State(tuple(modalities))
            sightings.append(
                Sighting(time, state, WELL, None, vector, None, SPACE, "b" * 64, {"e": "fp32"})
            )
        changed = self.tracks.embedded(crops, sightings, self.likeness)
        by_peak = dict(enumerate(names))
        matches = []
        for track, pooled in changed:
            name = by_peak[int(np.argmax(sum(pooled.sums.values())))]
            who = identities.get(name)
            found = None if who is None else EventMatch(identity=who, score=3.0, cosine=0.9)
            matches.append((track, found))
        self.tracks.known(matches)

    def told(self, change: str) -> list[TrackFacts]:
        return [e.track for e in self.sink.events if e.track.change == change]

    def account(self) -> Any:
        account = self.tracks.snapshot().account
        assert account.balanced
        return account


def test_one_who_walks_through_is_one_track_of_few_embeddings() -> None:
    scene = Scene(crops=2)
    for i in range(200):
        scene.moment(i / 10, {"alice": 100 + 5 * i}, identities={"alice": "Alice"})
    scene.tracks.wait(25.0)
    (started,), (ended,) = scene.told("started"), scene.told("ended")
    assert started.id == ended.id
    assert started.person == ended.person is not None
    assert (ended.boxes, ended.states) == (200, ["rgb+nir+tir"])
    assert ended.duration == pytest.approx(19.9)
    assert len(scene.told("updated")) == 1
    (identified,) = scene.told("identified")
    assert identified.id == ended.id
    assert [m.identity for m in scene.known] == ["Alice"]
    # After 2, 4, 6 and 8 seconds more: 20 seconds hold the first and three others.
    answers = [a for (a,) in scene.answers]
    assert sum(isinstance(a, Wanted) for a in answers) == ended.embedded == 4
    assert answers.count(UNCONFIRMED) == 1
    assert answers.count(NOTHING_NEW) == 195
    (pooled,) = ended.pooled
    vector = np.frombuffer(pooled.data, "<f4")
    assert (pooled.state, pooled.count) == ("rgb+nir+tir", 4)
    assert vector @ np.eye(8)[0] > 0.95
    assert 0.9 < pooled.agreement <= 1.0
    assert len(ended.crops) == 2
    assert all(p[:2] == b"\xff\xd8" for c in ended.crops for p in c.pictures.values())
    assert ended.path[0].x == pytest.approx(105)  # of the box that confirmed it
    assert ended.path[-1].x == pytest.approx(1095)
    assert [e.match is not None for e in scene.sink.events] == [False, True, True, True]
    assert scene.account().left == 1


def test_a_sensor_that_fails_in_the_middle_leaves_the_track_whole() -> None:
    scene = Scene()
    for i in range(100):
        failed = 30 <= i < 70
        scene.moment(i / 10, {"alice": 100 + 5 * i}, ("tir",) if failed else FULL.available)
    scene.tracks.finish()
    (ended,) = scene.told("ended")
    assert ended.states == ["rgb+nir+tir", "tir"]
    assert {p.state: p.count for p in ended.pooled} == {"rgb+nir+tir": 3, "tir": 2}
    weights = {p.state: p.weight / p.count for p in ended.pooled}
    assert weights["tir"] < weights["rgb+nir+tir"]


def test_who_comes_back_in_time_is_the_same_person() -> None:
    scene = Scene(remember=60.0)
    places = {"alice": 300.0, "bob": 900.0}
    for start, people in ((0.0, places), (20.0, {"alice": 900.0, "carol": 300.0}), (200.0, places)):
        for i in range(20):
            scene.moment(start + i / 10, people)
        scene.tracks.wait(start + 10.0)
    persons = [track.person for track in scene.told("ended")]
    assert len(persons) == 6
    first, second, later = persons[:2], persons[2:4], persons[4:]
    assert second[0] == first[0]  # alice, at the place of bob
    assert second[1] not in first
    assert not set(later) & set(persons[:4])  # forgotten
    assert scene.tracks.snapshot().returned == 1


def test_a_track_that_was_lost_goes_on_where_the_person_appears_again() -> None:
    scene = Scene()
    for i in range(10):
        scene.moment(i / 10, {"alice": 100.0})
    scene.moment(1.0, {})
    for i in range(10):
        scene.moment(2.0 + i / 10, {"alice": 800.0})
    scene.tracks.finish()
    (ended,) = scene.told("ended")
    assert len(scene.told("started")) == 1
    assert ended.boxes == 20
    assert ended.path[0].x == 100.0
    assert ended.path[-1].x == 800.0
    assert scene.account().dropped == {"continued": 1}
    assert scene.tracks.snapshot().resumed == 1


@pytest.mark.parametrize("appearance", [True, False])
def test_two_who_meet_and_turn_back_are_told_apart_by_what_they_look_like(
    appearance: bool,
) -> None:
    """Motion expects them to pass each other; they turn, and each gets the track of the other."""
    scene = Scene()
    if not appearance:
        scene.likeness = Likeness(None, None)
    ways: dict[str, list[float]] = {"alice": [], "bob": []}
    for i in range(41):
        reach = abs(20 - i) * 8.0
        ways["alice"].append(500 - reach - 2)
        ways["bob"].append(500 + reach + 2)
    for i in range(41):
        people = {name: way[i] for name, way in ways.items()}
        if 18 <= i <= 22:  # one hides the other
            del people["bob"]
        scene.moment(i / 10, people)
    scene.tracks.finish()
    ended = scene.told("ended")
    exchanges = scene.tracks.snapshot().exchanged
    turned = [(t.path[0].x < 500) == (t.path[-1].x < 500) for t in ended]
    assert turned == [appearance] * 2
    assert exchanges == (1 if appearance else 0)
    assert scene.account().held == 0


def test_engines_that_fail_cost_embeddings_and_no_track() -> None:
    scene = Scene()
    for i in range(50):
        scene.moment(i / 10, {"alice": 100.0}, embed=False)
    scene.tracks.finish()
    assert [e.track.change for e in scene.sink.events] == ["started", "ended"]
    (ended,) = scene.told("ended")
    assert (ended.person, ended.embedded, len(ended.pooled), ended.boxes) == (None, 0, 0, 50)


def test_an_embedding_that_comes_after_the_end_changes_nothing() -> None:
    scene = Scene()
    for i in range(5):
        answers = scene.moment(i / 10, {"alice": 100.0}, embed=False)
    (wanted,) = (a for (a,) in scene.answers if isinstance(a, Wanted))
    scene.tracks.finish()
    before = len(scene.sink.events)
    scene.embed(9.0, {"alice": wanted}, FULL.available, {})
    assert len(scene.sink.events) == before
    assert answers


def test_another_bundle_begins_anew_and_compares_with_nothing_before() -> None:
    scene = Scene()
    for i in range(10):
        scene.moment(i / 10, {"alice": 100.0})
    crop = Crop(1.0, {"rgb": PICTURE}, None, WELL, Wanted(1, 1.0))
    other = Sighting(1.0, FULL, WELL, None, np.ones(4, np.float32) / 2, None, SPACE, "", {})
    foreign = replace(other, space=replace(SPACE, dim=4, checkpoint="d" * 64))
    changed = scene.tracks.embedded([crop], [foreign], None)
    assert [(p.count, p.space.dim) for _, p in changed] == [(1, 4)]
    scene.tracks.finish()
    (ended,) = scene.told("ended")
    assert [p.dim for p in ended.pooled] == [4]


STEPS = st.lists(
    st.tuples(
        st.floats(0.02, 1.5),
        st.dictionaries(
            st.sampled_from(["alice", "bob", "carol", "dan", "eve"]), st.floats(0, 600), max_size=5
        ),
        st.sampled_from([("rgb", "nir", "tir"), ("tir",), ("rgb", "tir")]),
        st.booleans(),
    ),
    max_size=25,
)


@given(steps=STEPS, scored=st.booleans())
@settings(deadline=None, max_examples=60)
def test_whatever_happens_the_accounts_balance_and_events_are_in_order(
    steps: list[tuple[float, dict[str, float], tuple[Modality, ...], bool]], scored: bool
) -> None:
    scene = Scene(scored=scored, most=4, recents=3, path=4, every=0.3, update=0.5)
    time = 0.0
    for step, people, modalities, embed in steps:
        time += step
        scene.moment(time, people, modalities, embed=embed, identities={"bob": "Bob"})
        account = scene.account()
        snapshot = scene.tracks.snapshot()
        assert len(snapshot.tracks) <= account.held <= 4
        assert snapshot.recents <= 3
    scene.tracks.finish()
    assert scene.account().held == 0
    events = [e.track for e in scene.sink.events]
    assert len({t.id for t in scene.told("ended")}) == len(scene.told("ended"))
    order = sorted(events, key=lambda track: track.id)
    for _, those in itertools.groupby(order, key=lambda track: track.id):
        changes = [track.change for track in those]
        assert (changes[0], changes[-1]) == ("started", "ended")
        assert changes.count("started") == changes.count("ended") == 1
    assert all(len(t.path) <= 4 for t in events)
    assert scene.account().left == len(scene.told("ended"))


def test_the_state_is_that_of_the_last_box_and_states_are_all_that_there_were() -> None:
    """Also where a sensor is back that failed meanwhile."""
    scene = Scene(every=0.1)
    full, tir = FULL.available, ("tir",)
    for i, modalities in enumerate([full, full, full, tir, tir, full, full]):
        scene.moment(i / 10, {"alice": 100 + i}, modalities)
        if i >= 2:
            [track] = scene.tracks.snapshot().tracks
            assert track.state == "+".join(modalities)
            assert track.present
            assert track.box is not None
            assert (track.box.left + track.box.right) / 2 == 100 + i
    scene.tracks.finish()
    ended = scene.sink.events[-1]
    assert isinstance(ended, TrackEvent)
    assert ended.state == FULL.name
    assert list(ended.track.states) == [FULL.name, "tir"]


def test_corrections_are_told() -> None:
    """Somebody who is lost and goes on elsewhere: the rest is a part of the first."""
    told: list[Correction] = []
    scene = Scene(lost=5.0)
    scene.tracks = Tracks(
        TrackSettings(lost=5.0),
        Announcer("n", scene.sink, "float32", ignore),
        (30, 60),
        scene.likeness,
        "float32",
        lambda _sighting, _match: None,
        notify_corrected=told.append,
    )
    for i in range(4):
        scene.moment(i / 10, {"alice": 100})
    [first] = scene.tracks.snapshot().tracks
    scene.moment(1.0, {})
    for i in range(4):
        scene.moment(2 + i / 10, {"alice": 900})
    [correction] = told
    assert correction.other == first.id
    assert correction.exchanged_since is None
    assert [track.id for track in scene.tracks.snapshot().tracks] == [first.id]


def test_the_line_in_the_documentation_is_an_event() -> None:
    text = (ROOT / "docs" / "tracks.md").read_text(encoding="utf-8")
    [example] = re.findall(r"^(\{\"id\".*\})$", text, re.MULTILINE)
    decoded = msgspec.json.decode(example, type=TrackEvent)
    # Nothing is left out, and nothing is in it that is no field.
    assert json.loads(msgspec.json.encode(decoded)) == json.loads(example)
    # Who knows nothing of tracks reads it as any event.
    assert msgspec.json.decode(example, type=Event).kind == "track"
