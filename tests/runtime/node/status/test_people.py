"""Boxes on the pictures of the status page, and the strip of people who were seen last."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from runtime.node.boxes.box import Box
from runtime.node.boxes.homography import View
from runtime.node.errors import NodeError
from runtime.node.settings import convert
from runtime.node.stage_items import Crop
from runtime.node.status import HeadShown, StatusPage, StatusSettings, StatusSnapshot
from runtime.node.status.paths import shown
from runtime.node.status.strip import PeopleStrip
from runtime.node.status.view import view
from runtime.node.tracks.correction import Correction
from runtime.node.tracks.snapshot import TrackInView
from tests.runtime.node.align.browser import CHROMIUM, Browser
from tests.runtime.node.parts import WELL

FRAMES = {"rgb": np.full((100, 200, 3), 90, np.uint8), "tir": np.full((50, 80), 90, np.uint8)}


def track(id_: str, box: Box | None, **changes: Any) -> TrackInView:
    values: dict[str, Any] = {
        "id": id_,
        "person": f"anonymous-{id_}",
        "identity": None,
        "seconds": 1.0,
        "state": "rgb+tir",
        "boxes": 3,
        "embedded": 1,
        "box": box,
    }
    return TrackInView(**(values | changes))


def head(*tracks: TrackInView, **changes: Any) -> HeadShown:
    return HeadShown("", WELL, FRAMES, tracks=tracks, **changes)


def boxes(shown_: HeadShown, modality: str) -> list[dict[str, Any]]:
    (first,) = json.loads(view(StatusSnapshot("n", 0.0, [shown_])))["heads"]
    (found,) = [s["boxes"] for s in first["sensors"] if s["modality"] == modality]
    return list(found)


def sides(box: dict[str, Any]) -> list[float]:
    return [box[side] for side in ("left", "top", "right", "bottom")]


def test_boxes_are_shares_of_the_frame_that_shows_them() -> None:
    views = {
        "rgb": View(size=(200, 100)),
        "tir": View(size=(80, 50), homography=((0.4, 0, 0), (0, 0.5, 0), (0, 0, 1))),
    }
    there = head(track("a", Box(20, 10, 60, 90), identity="Zoë"), views=views)
    (rgb,), (tir,) = boxes(there, "rgb"), boxes(there, "tir")
    assert (rgb["track"], rgb["who"]) == ("a", "Zoë")
    assert sides(rgb) == pytest.approx([0.1, 0.1, 0.3, 0.9])
    assert sides(tir) == pytest.approx([8 / 80, 5 / 50, 24 / 80, 45 / 50])
    assert boxes(there, "nir") == []  # it has no picture


@given(st.lists(st.floats(-500, 500), min_size=4, max_size=4))
def test_boxes_are_cut_to_the_picture(numbers: list[float]) -> None:
    left, right = sorted(numbers[:2])
    top, bottom = sorted(numbers[2:])
    for box in boxes(head(track("a", Box(left, top, right, bottom))), "rgb"):
        assert 0 <= box["left"] < box["right"] <= 1
        assert 0 <= box["top"] < box["bottom"] <= 1


def test_who_is_lost_or_has_no_box_is_not_drawn() -> None:
    box = Box(20, 10, 60, 90)
    assert boxes(head(track("a", box, present=False), track("b", None)), "rgb") == []


def crop(level: int) -> Crop:
    pixels = np.full((40, 20, 3), level, np.uint8)
    return Crop(time.monotonic(), {"rgb": pixels, "tir": pixels[..., 0]}, None, WELL)


def level(picture: bytes) -> float:
    return float(np.asarray(Image.open(BytesIO(picture))).mean())


def test_the_strip_keeps_the_best_picture_of_each_of_the_last() -> None:
    strip = PeopleStrip(3)
    for number in range(5):
        strip.add("", f"track-{number}", 0.5, crop(40 * number))
    assert [each.track for each in strip.people] == ["track-4", "track-3", "track-2"]
    strip.add("", "track-2", 0.4, crop(250))  # worse
    assert [each.track for each in strip.people] == ["track-2", "track-4", "track-3"]
    assert level(strip.people[0].picture) == pytest.approx(80, abs=2)
    before = strip.people[0].number
    strip.add("", "track-2", 0.6, crop(250))
    assert level(strip.people[0].picture) == pytest.approx(250, abs=2)
    assert strip.people[0].number > before


def test_names_follow_the_tracks_and_heads_are_apart() -> None:
    strip = PeopleStrip(9)
    strip.add("east", "a", 0.5, crop(10))
    strip.add("west", "a", 0.5, crop(20))
    strip.name("east", [track("a", None, identity="Zoë")])
    assert {each.head: each.name for each in strip.people} == {"east": "Zoë", "west": ""}
    strip.add("east", "a", 0.9, crop(30))
    assert strip.people[0].name == "Zoë"


def test_what_turns_out_to_be_wrong_goes() -> None:
    strip = PeopleStrip(9)
    for name in "abcd":
        strip.add("", name, 0.5, crop(10))
    strip.correct("", Correction("a", "b"))
    assert [each.track for each in strip.people] == ["d", "c", "b"]
    strip.correct("", Correction("b", "c", exchanged_since=3.0))
    assert [each.track for each in strip.people] == ["d"]


@pytest.fixture
def page() -> Iterator[StatusPage]:
    made = StatusPage(StatusSettings(port=0, people=4))
    made.start()
    yield made
    made.close()


def test_pictures_are_there_as_long_as_they_are_kept(page: StatusPage) -> None:
    assert shown(page, "/person/1.jpg").status == 404
    strip = PeopleStrip(1)
    strip.add("", "a", 0.5, crop(77))
    page.update(StatusSnapshot("n", 0.0, [head()], people=strip.people))
    answer = shown(page, "/person/1.jpg")
    assert (answer.status, answer.kind) == (200, "image/jpeg")
    assert level(answer.content) == pytest.approx(77, abs=2)
    strip.add("", "b", 0.5, crop(99))
    page.update(StatusSnapshot("n", 0.0, [head()], people=strip.people))
    assert shown(page, "/person/1.jpg").status == 404
    assert shown(page, "/person/2.jpg").status == 200
    assert shown(page, "/person/-1.jpg").status == 404
    page.update(StatusSnapshot("n", 0.0, [head()]))
    assert shown(page, "/person/2.jpg").status == 404


def test_nobody_is_kept_unless_it_is_asked_for() -> None:
    assert StatusSettings().people == 0
    assert json.loads(view(StatusSnapshot("n", 0.0, [head()])))["people"] is None
    document = {
        "name": "n",
        "model": {"bundle": "b"},
        "sources": {"rgb": {"url": "file:a.mkv"}},
        "status": {"people": 12},
    }
    with pytest.raises(NodeError, match=r"status.people: .* add \[tracks\]"):
        convert(document)
    assert convert(document | {"tracks": {}}).status == StatusSettings(people=12)


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium")
def test_a_browser_shows_boxes_and_people(page: StatusPage, tmp_path: Path) -> None:
    strip = PeopleStrip(4)
    hostile = "<img src=x onerror=document.title='taken'>"
    strip.add("", "a", 0.5, crop(150))
    there = track("a", Box(50, 25, 150, 75), identity=hostile)
    strip.name("", [there])
    page.update(StatusSnapshot("n", time.time(), [head(there)], people=strip.people))
    browser = Browser(tmp_path / "profile")
    try:
        browser.call("Page.navigate", url=page.url)
        browser.wait(lambda: browser.evaluate("document.querySelectorAll('.box').length == 2"))
        # The box is in the middle half of the picture, which the view does not fill.
        off = browser.evaluate(
            "(() => { const box = document.querySelector('.box').getBoundingClientRect();"
            "const view = document.querySelector('.view').getBoundingClientRect();"
            "return [box.left + box.width / 2 - view.left - view.width / 2,"
            "box.width / view.width, box.height / box.width]; })()"
        )
        assert off == pytest.approx([0.0, 0.5, 0.5], abs=0.02)
        loaded = "document.querySelector('.person img').naturalWidth"
        assert browser.wait(lambda: browser.evaluate(loaded)) == 20
        assert browser.evaluate("document.querySelector('.box span').textContent") == hostile
        assert browser.evaluate("document.querySelector('.person figcaption').textContent")
        assert browser.evaluate("document.title") != "taken"
    finally:
        browser.close()
