"""The page on which points are clicked: over plain HTTP, and by the mouse of a real browser."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from denet.graph import Modality
from runtime.node.align.clicking import ClickPage
from runtime.node.align.looking import Moment
from runtime.node.align.points import PointFile
from runtime.node.boxes.homography import project
from runtime.node.errors import NodeError
from runtime.node.sources import Frame
from tests.runtime.node.align.browser import CHROMIUM, Browser

SIZES: dict[Modality, tuple[int, int]] = {"rgb": (480, 320), "tir": (320, 256)}
TRUTH = np.array([[0.6, 0.02, 6.0], [-0.01, 0.7, 12.0], [1e-5, 2e-5, 1.0]])
PLACES = np.array([(60, 50), (420, 60), (400, 270), (80, 260), (240, 160), (150, 90), (320, 210)])


def moments(count: int = 3) -> Iterator[Moment]:
    for number in range(count):
        frames: dict[Modality, Frame] = {
            m: Frame(m, 2.0 * number, np.full((h, w), 60 + 20 * number, np.uint8), number)
            for m, (w, h) in SIZES.items()
        }
        yield frames, 2.0 * number


class Served:
    """A page whose command waits in another thread."""

    def __init__(self) -> None:
        self.page = ClickPage(moments(), SIZES, None, 0)
        self.found: list[PointFile] = []
        self.thread = threading.Thread(
            target=lambda: self.found.append(self.page.run()[0]), daemon=True
        )
        self.thread.start()

    def ask(
        self, path: str, body: Any = None, token: str | None = None, **headers: str
    ) -> tuple[int, Any]:
        address, _, own = self.page.url.partition("/#")
        path = f"/{own if token is None else token}{path}"
        connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=20)
        try:
            content = body if body is None or isinstance(body, bytes) else json.dumps(body)
            connection.request("GET" if body is None else "POST", path, content, headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        is_json = answer.getheader("Content-Type") == "application/json"
        return answer.status, json.loads(text) if is_json else text

    def end(self) -> None:
        if self.thread.is_alive():
            self.ask("/done", document())
        self.thread.join(20)


@pytest.fixture
def served() -> Iterator[Served]:
    made = Served()
    yield made
    made.end()


def document(count: int = 7) -> dict[str, Any]:
    landed = project(TRUTH, PLACES.astype(float))
    points = [
        {"rgb": a, "tir": b} for a, b in zip(PLACES.tolist(), landed.round(1).tolist(), strict=True)
    ]
    return {"sizes": {m: list(size) for m, size in SIZES.items()}, "points": points[:count]}


def test_who_has_the_token_may_look_and_tell(served: Served) -> None:
    assert served.ask("/sizes") == (200, {m: list(size) for m, size in SIZES.items()})
    status, picture = served.ask("/rgb.jpg")
    assert (status, picture[:2]) == (200, b"\xff\xd8")
    status, found = served.ask("/check", document())
    assert status == 200
    (camera,) = found["cameras"]
    assert camera["used"] == 7
    assert camera["median"] < 0.2
    assert not served.found
    assert served.ask("/next", {}) == (200, {})
    assert served.ask("/next", {}) == (200, {})
    assert served.ask("/next", {})[1] == {"error": "there is no other moment"}


@pytest.mark.parametrize("path", ["/sizes", "/rgb.jpg", "/nothing"])
def test_who_has_not_sees_nothing(served: Served, path: str) -> None:
    assert served.ask(path, token="another")[0] == 403
    assert served.ask(path, token="")[0] == 403
    assert served.ask("/done", document(), token="another")[0] == 403
    assert served.ask("/done", document(), Origin="http://elsewhere.example")[0] == 403
    assert served.ask("/sizes", None, Host="elsewhere.example")[0] == 421
    assert served.thread.is_alive()


def test_what_is_told_is_checked(served: Served) -> None:
    wrong_size = document() | {"sizes": {"rgb": [9, 9], "tir": [320, 256]}, "points": []}
    for told, why in (
        (b"nonsense", "JSON"),
        ({"sizes": {}, "points": []}, "rgb is missing"),
        (wrong_size, "has no frames of 9x9"),
        (document(3), "give at least 6"),
        (document() | {"more": 1}, "more"),
    ):
        status, found = served.ask("/done", told)
        assert status == 200
        assert why in found["error"]
    assert served.thread.is_alive()
    assert served.ask("/other", {})[0] == 404


def test_the_last_word_ends_it() -> None:
    made = Served()
    assert made.ask("/done", document())[0] == 200
    made.thread.join(20)
    assert not made.thread.is_alive()
    assert len(made.found[0].points) == 7


def test_no_moment_of_both_is_said() -> None:
    with pytest.raises(NodeError, match="no moment shows rgb and tir at once"):
        ClickPage(iter([]), SIZES, None, 0)


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium")
def test_points_are_clicked_in_a_browser(served: Served, tmp_path: Path) -> None:
    browser = Browser(tmp_path / "profile")
    try:
        browser.call("Page.navigate", url=served.page.url)
        browser.wait(lambda: browser.evaluate("document.querySelectorAll('.view svg').length == 2"))
        landed = project(TRUTH, PLACES.astype(float))
        for place, other in zip(PLACES, landed, strict=True):
            for side, (x, y), m in (("left", place, "rgb"), ("right", other, "tir")):
                box = browser.evaluate(
                    f"(() => {{ const r = document.getElementById('{side}')"
                    ".getBoundingClientRect(); return [r.left, r.top, r.width, r.height]; })()"
                )
                left, top, width, height = box
                browser.click(left + x / SIZES[m][0] * width, top + y / SIZES[m][1] * height)
        assert browser.evaluate("document.querySelectorAll('#pairs tr').length") == 7
        assert browser.evaluate("document.querySelectorAll('circle.mark').length") == 14
        browser.evaluate("document.getElementById('check').click()")
        told = browser.wait(lambda: browser.evaluate("document.getElementById('told').textContent"))
        assert "7 of 7 pairs agree" in told
        browser.evaluate("document.getElementById('done').click()")
        served.thread.join(30)
        assert not served.thread.is_alive()
    finally:
        browser.close()
    (points,) = served.found
    source, target, _ = points.pairs("tir")
    assert np.abs(source - PLACES).max() < 1.0
    assert np.abs(target - landed).max() < 1.0


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium")
def test_a_browser_without_the_token_is_told_so(served: Served, tmp_path: Path) -> None:
    browser = Browser(tmp_path / "profile")
    try:
        browser.call("Page.navigate", url=served.page.url.partition("#")[0])
        script = "document.getElementById('told')?.textContent"
        told = browser.wait(
            lambda: text if (text := browser.evaluate(script)) != "connecting" else None
        )
        assert "open the address that the command printed" in told
        assert browser.evaluate("document.querySelector('main').hidden") is True
    finally:
        browser.close()
