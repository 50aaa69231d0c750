"""Association: who is continued by which box."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.node.boxes.detection import Detection
from runtime.node.tracks.settings import TrackSettings
from runtime.node.tracks.tracker import Tracker
from tests.runtime.node.tracks.parts import seen, standing


def ids(tracker: Tracker, time: float, found: list[Detection]) -> list[int | None]:
    return [None if t is None else t.id for t in tracker.update(time, found)]


def test_two_who_walk_past_each_other_keep_their_tracklets() -> None:
    tracker = Tracker(TrackSettings())
    for i in range(50):
        t = i / 10
        found = ids(tracker, t, seen(101 + 50 * t, 404 - 50 * t))  # never at one place
        assert found == [1, 2], t


def test_a_box_that_is_not_confirmed_is_forgotten() -> None:
    tracker = Tracker(TrackSettings(confirm=3))
    assert ids(tracker, 0.0, seen(100, 400)) == [1, 2]
    assert ids(tracker, 0.1, seen(100)) == [1]
    assert [t.id for t in tracker.tracklets] == [1]
    assert (tracker.begun, tracker.unconfirmed) == (2, 1)
    tracker.update(0.2, seen(100))
    assert tracker.tracklets[0].confirmed
    tracker.update(0.3, [])
    assert [t.id for t in tracker.tracklets] == [1]  # lost, and remembered


def test_a_weak_detection_continues_and_does_not_begin() -> None:
    tracker = Tracker(TrackSettings())
    assert ids(tracker, 0.0, seen(100, score=0.3)) == [None]
    for i in range(3):
        tracker.update(0.1 * i, seen(100))
    assert ids(tracker, 0.3, seen(100, score=0.2)) == [1]
    tracker.update(0.4, [])
    # One that is lost is found again by a strong one alone.
    assert ids(tracker, 0.5, seen(100, score=0.2)) == [None]
    assert ids(tracker, 0.6, seen(100)) == [1]


def test_another_class_is_another_track() -> None:
    tracker = Tracker(TrackSettings())
    for i in range(3):
        tracker.update(0.1 * i, seen(100))
    assert ids(tracker, 0.3, seen(100, label="car")) == [2]


def test_a_sensor_that_sees_with_an_offset_takes_over() -> None:
    """RGB fails; the boxes of TIR are 8 pixels off, larger, and come at half the rate."""
    tracker = Tracker(TrackSettings())
    for i in range(20):
        tracker.update(i / 20, seen(100 + 3 * i))
    for i in range(20, 40, 2):
        box = standing(108 + 3 * i, 95, 112)
        assert ids(tracker, i / 20, [Detection(box, 0.6, "person", ("tir",))]) == [1]


def test_there_are_no_more_than_are_allowed() -> None:
    tracker = Tracker(TrackSettings(most=3))
    found = tracker.update(0.0, seen(*range(0, 1000, 100)))
    assert len(tracker.tracklets) == sum(t is not None for t in found) == 3


MOMENTS = st.lists(
    st.tuples(
        st.floats(0.01, 1.0),
        st.lists(st.tuples(st.floats(-50, 700), st.floats(0, 1)), max_size=6),
    ),
    max_size=15,
)


@given(moments=MOMENTS)
@settings(deadline=None, max_examples=60)
def test_whatever_comes_each_box_has_one_tracklet_at_most(
    moments: list[tuple[float, list[tuple[float, float]]]],
) -> None:
    tracker = Tracker(TrackSettings(most=5))
    time = 0.0
    for step, places in moments:
        time += step
        found = [Detection(standing(x), score, "", ()) for x, score in places]
        owners = [t for t in tracker.update(time, found) if t is not None]
        assert len({t.id for t in owners}) == len(owners)
        assert {t.id for t in owners} == {t.id for t in tracker.tracklets if t.present}
        assert len(tracker.tracklets) <= 5
        assert all(np.isfinite(t.motion.mean).all() for t in tracker.tracklets)
        gone = tracker.begun - tracker.unconfirmed - len(tracker.tracklets)
        assert gone == 0
