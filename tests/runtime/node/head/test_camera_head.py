"""A head that a defect ends begins anew, and its accounts go on."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from runtime.node.boxes.box import Box
from runtime.node.head import camera_head
from runtime.node.tracks.settings import TrackSettings
from tests.runtime.node.head.parts import Head, in_the_middle
from tests.runtime.node.waiting import until

DEFECT = ZeroDivisionError("on purpose")


def test_a_head_whose_sources_end_is_over() -> None:
    made = Head(None)
    made.run()
    taken = made.head.snapshot()
    assert (taken.failures, taken.lost, made.opened) == (0, "", 1)
    assert taken.frames["rgb"].entered == 20
    assert taken.frames["rgb"].held == taken.triplets.held == 0
    assert made.lane.closed
    assert made.lane.snapshot().entered == taken.triplets.left > 0
    assert made.notices == []
    assert {crop.head for crop in made.lane.take(100, 0.0) or ()} == {"east"}


def test_a_defect_begins_it_anew_and_nothing_is_lost_unreported() -> None:
    made = Head(DEFECT, DEFECT, None)
    made.run()
    taken = made.head.snapshot()
    assert (taken.failures, made.opened) == (2, 3)
    assert taken.frames["rgb"].entered == 60
    assert taken.frames["rgb"].held == taken.triplets.held == 0
    assert made.notices == ["head lost"], "it was not back in between"
    (lost,) = [e for e in made.sink.events if e.notice == "head lost"]
    assert (lost.head, lost.camera) == ("east", "n/east")
    assert "on purpose" in lost.reason
    assert made.failed == []
    stages = {stage.name: stage.failures for stage in made.head.stages}
    assert stages == {"east: sources": 2, "east: boxes": 0, "east: source rgb": 2}
    assert {stage.head for stage in made.head.stages} == {"east"}


def test_it_is_back_when_it_has_gone_on_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_head, "STEADY", 0.1)
    made = Head(DEFECT, None, counts=lambda life: 20 if life == 1 else 10_000)
    made.head.start()
    made.tend_until(lambda: made.head.snapshot().lost)
    made.tend_until(lambda: made.notices == ["head lost", "head back"])
    assert made.head.snapshot().lost == ""
    made.head.stop()
    made.tend_until(lambda: made.head.over)
    assert made.head.join(5.0)


def test_the_head_without_a_name_ends_with_its_node() -> None:
    made = Head(DEFECT, name="")
    made.head.start()
    until(lambda: made.failed)
    assert made.head.join(5.0)
    assert made.failed == ["sources"]
    assert made.notices == []
    assert made.opened == 1
    assert made.lane.closed


def test_one_that_is_stopped_while_it_is_lost_is_over() -> None:
    made = Head(DEFECT)
    made.head._backoff.next = lambda: 1e9  # type: ignore[method-assign]
    made.head.start()
    made.tend_until(lambda: made.head._due is not None)
    assert not made.head.join(0.01)
    made.head.stop()
    made.tend_until(lambda: made.head.over)
    assert made.head.join(5.0)
    assert made.head.snapshot().lost


def test_what_hangs_is_not_begun_beside_itself() -> None:
    free = threading.Event()

    def hanging(_frames: object, _time: float) -> Sequence[Box]:
        free.wait(30)
        return []

    made = Head(DEFECT, None, finder=hanging)
    made.head.start()
    until(lambda: made.head.snapshot().failures)
    for _ in range(20):
        made.head.tend()
    assert made.opened == 1
    free.set()
    made.tend_until(lambda: made.head.over)
    assert made.opened == 2


def test_sources_that_cannot_be_opened_are_tried_again() -> None:
    made = Head(DEFECT, None)
    opening, refusals = made.head._open_sources, [OSError("no such device")] * 3

    def refusing() -> object:
        if refusals:
            raise refusals.pop()
        return opening()

    made.head._open_sources = refusing  # type: ignore[method-assign, assignment]
    made.run()
    assert made.opened == 2
    assert sum("cannot begin anew: no such device" in line for line in made.said) == 3


def test_boxes_that_fail_are_told_and_cost_their_moments() -> None:
    failing = iter([True] * 3 + [False] * 1000)

    def finder(_frames: object, _time: float) -> Sequence[Box]:
        if next(failing):
            raise ValueError("the model is gone")
        return []

    made = Head(None, finder=finder)
    made.run()
    taken = made.head.snapshot()
    assert taken.triplets.dropped["no boxes"] == 3
    assert made.notices == ["head lost", "head back"]
    assert taken.lost == ""
    reasons = [reason for kind, reason in made.sink.notices() if str(kind).startswith("head")]
    assert reasons == ["no boxes: ValueError: the model is gone", "boxes are found again"]


def test_a_defect_of_its_tracks_is_not_one_of_the_engines() -> None:
    made = Head(None, None, finder=in_the_middle, tracks=TrackSettings(), counts=lambda _: 60)
    made.head.start()
    made.tend_until(lambda: made.lane.waiting)
    with made.head.output.contained():
        raise DEFECT
    made.tend_until(lambda: made.head.over)
    assert (made.opened, made.head.snapshot().failures) == (2, 1)
    (lost,) = [e for e in made.sink.events if e.notice == "head lost"]
    assert lost.reason.startswith("tracks: ZeroDivisionError")
    unnamed = Head(None, name="")
    with pytest.raises(ZeroDivisionError), unnamed.head.output.contained():
        raise DEFECT


def test_tracks_end_with_a_life_and_ids_are_not_used_twice() -> None:
    made = Head(DEFECT, None, finder=in_the_middle, tracks=TrackSettings())
    made.run()
    made.head.finish()
    taken = made.head.snapshot()
    assert taken.tracks is not None
    assert taken.tracks.account.entered == taken.tracks.account.left == 2
    told = [e for e in made.sink.events if e.kind == "track"]
    assert {e.head for e in told} == {"east"}
    changes = [e.track.change for e in told]  # type: ignore[attr-defined]
    assert changes == ["started", "ended"] * 2
    wanted = [crop.wanted for crop in made.lane.take(100, 0.0) or ()]
    assert sorted({each.tracklet for each in wanted if each}) == [1, 2]
