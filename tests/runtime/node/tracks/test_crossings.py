"""People who cross, and those who were here before."""

from __future__ import annotations

import numpy as np
import pytest

from runtime.node.tracks.crossings import PATIENCE, Crossing, Crossings, exchanged
from runtime.node.tracks.likeness import Likeness
from runtime.node.tracks.motion import Motion
from runtime.node.tracks.recents import Recents
from runtime.node.tracks.tracker import Tracklet
from tests.runtime.node.tracks.parts import FULL, TIR, near, pooled, scores, standing, unit


def tracklet(id_: int, x: float, *, present: bool = True) -> Tracklet:
    box = standing(x)
    return Tracklet(id_, "", Motion(box), box, 0.0, 0.0, 3, True, present)


def test_who_meets_is_held_until_both_are_embedded_apart() -> None:
    crossings = Crossings()
    alive = {1: True, 2: True, 3: True}
    one = pooled((FULL, unit(np.random.default_rng(0)), 1.0))
    for time, x in enumerate((0, 40, 85, 100, 130, 145)):  # past somebody who stands at 100
        crossings.look(float(time), [tracklet(1, x), tracklet(2, 100), tracklet(3, 400)])
        met = x >= 85
        assert (crossings.holds(1), crossings.holds(2)) == (met, met)
        assert crossings.wants(1) == crossings.wants(2) == (x == 145)
        assert not crossings.holds(3)
        assert not crossings.decided(float(time), alive)
    crossings.add(1, one)
    crossings.ask(1)
    assert (crossings.wants(1), crossings.wants(2)) == (False, True)
    assert not crossings.decided(6.0, alive)
    crossings.add(2, one)
    (done,) = crossings.decided(6.0, alive)
    assert done.pair == (1, 2)
    assert not crossings.holds(1)
    assert not crossings.open


def test_one_who_stays_lost_is_not_waited_for() -> None:
    crossings = Crossings()
    crossings.look(0.0, [tracklet(1, 100), tracklet(2, 110)])
    lost = [tracklet(1, 160), tracklet(2, 110, present=False)]
    crossings.look(1.0, lost)
    assert crossings.wants(1)
    alive = {1: True, 2: False}
    assert not crossings.decided(PATIENCE - 0.1, alive)
    assert crossings.decided(PATIENCE + 1.0, alive)
    crossings.look(10.0, [tracklet(1, 100), tracklet(2, 110)])
    assert crossings.decided(10.0, {1: True})  # one is gone for good
    assert not crossings.open


def test_crossings_that_no_frame_tells_apart_stay_open_and_few() -> None:
    crossings = Crossings()
    people = [tracklet(i, 100 + i) for i in range(10)]
    for time in range(20):
        crossings.look(float(time), people)
    assert len(crossings.open) == 45


@pytest.mark.parametrize("scored", [True, False])
def test_they_are_exchanged_if_they_look_like_each_other_and_not_else(scored: bool) -> None:
    chance = np.random.default_rng(1)
    alice, bob = np.eye(8, dtype=np.float32)[:2]
    likeness = Likeness(scores() if scored else None, 0.5)
    known = {1: pooled((FULL, alice, 1.0)), 2: pooled((FULL, bob, 1.0))}
    apart, swapped, half, unlike = (
        Crossing((1, 2), 0.0, 1.0, True, evidence=evidence)
        for evidence in (
            {1: pooled((FULL, near(alice, chance), 1)), 2: pooled((FULL, near(bob, chance), 1))},
            {1: pooled((FULL, near(bob, chance), 1)), 2: pooled((FULL, near(alice, chance), 1))},
            {1: pooled((FULL, near(bob, chance), 1))},
            {1: pooled((FULL, near(alice + bob, chance, 0.01), 1))},
        )
    )
    assert not exchanged(apart, known, likeness)
    assert exchanged(swapped, known, likeness)
    assert exchanged(half, known, likeness)
    assert not exchanged(unlike, known, likeness)
    assert not exchanged(Crossing((1, 2), 0.0, 1.0), known, likeness)
    assert not exchanged(swapped, {1: known[1], 2: None}, likeness)
    # After a change of the sensors: with scores states are compared, with cosines they are not.
    dark = Crossing((1, 2), 0.0, 1.0, True, evidence={1: pooled((TIR, near(bob, chance), 1))})
    assert exchanged(dark, known, likeness) == scored


def test_who_left_is_known_again_for_a_while() -> None:
    chance = np.random.default_rng(2)
    people = dict(zip(("a", "b", "c"), np.eye(8, dtype=np.float32), strict=False))
    recents = Recents(2, 60.0)
    likeness = Likeness(None, 0.8)
    for i, (name, vector) in enumerate(people.items()):
        recents.left(name, pooled((FULL, vector, 1.0)), "person", 10.0 * i)
    assert len(recents) == 2

    def who(name: str, but: tuple[str, ...] = (), label: str = "person") -> str | None:
        seen = pooled((FULL, near(people[name], chance, 0.05), 1.0))
        return recents.find(seen, label, likeness, but)

    assert [who(name) for name in people] == [None, "b", "c"]  # "a" was pushed out
    assert who("b", but=("b",)) is None
    assert who("b", label="car") is None
    recents.left("b", pooled((TIR, people["b"], 1.0)), "person", 50.0)
    recents.expire(81.0)
    assert [who(name) for name in people] == [None, "b", None]  # "c" left at 20
    assert recents.find(pooled((TIR, people["b"], 1.0)), "person", likeness, ()) == "b"
    assert Recents(2, 60.0).find(pooled((FULL, people["a"], 1.0)), "", likeness, ()) is None
