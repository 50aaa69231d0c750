"""The status page over plain HTTP, and in a real headless browser where there is one."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from denet.graph import RGB_NIR_TIR
from runtime.node.events import EventMatch
from runtime.node.health import Verdict
from runtime.node.status import (
    HeadShown,
    Seen,
    StatusError,
    StatusPage,
    StatusSettings,
    StatusSnapshot,
)
from runtime.node.status import page as page_module
from runtime.node.status.thumbnail import SIDE, thumbnail

STATES = RGB_NIR_TIR.states

HOSTILE = "<img src=x onerror=document.title='taken'>\"'&</script>"


@pytest.fixture
def page() -> Iterator[StatusPage]:
    made = StatusPage(StatusSettings(port=0))
    made.start()
    yield made
    made.close()


def picture(value: int = 90) -> NDArray[np.uint8]:
    return np.full((256, 128, 3), value, np.uint8)


def head(**changes: Any) -> HeadShown:
    values: dict[str, Any] = {
        "name": "",
        "verdicts": {
            "rgb": Verdict("rgb", None, ""),
            "nir": Verdict("nir", "frozen", "the same picture for 5 frames"),
            "tir": Verdict("tir", None, ""),
        },
        "frames": {"rgb": picture(), "tir": np.full((64, 32), 30_000, np.uint16)},
        "state": RGB_NIR_TIR.parse("rgb+tir"),
        "plan": {"branch_rgb": "int8", "branch_tir": "int8", "cmft_rgb2nir": "fp16"},
    }
    return HeadShown(**(values | changes))


def snapshot(*heads: HeadShown) -> StatusSnapshot:
    return StatusSnapshot(
        node="gate-3",
        time=time.time(),
        heads=heads or [head()],
        latency_p50=12.34,
        latency_p99=20.5,
        matches=[
            Seen(time.time(), STATES[0], EventMatch(identity=HOSTILE, score=3.2, cosine=0.7)),
            Seen(
                time.time(),
                STATES[-1],
                EventMatch(identity="bob", score=4.0, cosine=0.8, false_match_rate=1e-4),
            ),
        ],
        counters={"frames": 12345, "events waiting": 0},
        bundle="model.denet",
        backend="ort-cpu, int8",
    )


def ask(page: StatusPage, path: str, method: str = "GET", **headers: str) -> tuple[int, Any, bytes]:
    """The status, headers and content of an answer."""
    connection = http.client.HTTPConnection(page.url[7:-1], timeout=10)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def test_it_gives_what_it_was_given(page: StatusPage) -> None:
    assert ask(page, "/snapshot")[2] == b"null"
    assert ask(page, "/rgb.jpg")[0] == 404
    page.update(snapshot())
    status, headers, content = ask(page, "/snapshot")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    shown = json.loads(content)
    (first,) = shown["heads"]
    assert (first["name"], first["state"]) == ("", "rgb+tir")
    assert [(s["modality"], s["fault"], s["pictured"]) for s in first["sensors"]] == [
        ("rgb", None, True),
        ("nir", "frozen", False),
        ("tir", None, True),
    ]
    assert first["plan"][2] == ["cmft_rgb2nir", "fp16"]
    assert shown["latency"] == {"p50": 12.34, "p99": 20.5}
    assert shown["matches"][0]["identity"] == HOSTILE
    assert shown["counters"] == [["frames", 12345], ["events waiting", 0]]
    assert -1 < shown["age"] < 60
    page.update(snapshot(head(state=None, plan={})))
    assert json.loads(ask(page, "/snapshot")[2])["heads"][0]["state"] is None


def test_pictures_are_small_jpegs_of_what_is_seen(page: StatusPage) -> None:
    page.update(snapshot())
    status, headers, content = ask(page, "/rgb.jpg?17")
    assert (status, headers["Content-Type"]) == (200, "image/jpeg")
    shown = np.asarray(Image.open(BytesIO(content)))
    assert shown.shape == (256, 128, 3)
    assert np.abs(shown.astype(int) - 90).max() < 3
    assert ask(page, "/nir.jpg")[0] == 404


@pytest.mark.parametrize("shape", [(1080, 1920, 3), (480, 640), (3, 2000), (1, 1), (256, 128)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_any_frame_becomes_a_picture(shape: tuple[int, ...], kind: Any) -> None:
    rows = np.linspace(0, np.iinfo(kind).max // 3, shape[0])
    image = np.broadcast_to(rows.reshape(-1, *[1] * (len(shape) - 1)), shape).astype(kind)
    drawn = Image.open(BytesIO(thumbnail(image)))
    assert max(drawn.size) == min(SIDE, max(shape[:2]))
    assert drawn.mode == ("L" if len(shape) == 2 else "RGB")
    if shape[0] > 100:
        shown = np.asarray(drawn, int)
        assert shown[-5:].mean() > shown[:5].mean() + 50
        if kind == np.uint16:  # its small range is stretched
            assert shown[-5:].mean() > 220


def test_a_picture_is_drawn_only_when_somebody_looks_and_once(
    page: StatusPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    monkeypatch.setattr(page_module, "thumbnail", lambda frame: drawn.append(frame) or b"jpeg")
    first = snapshot()
    page.update(first)
    page.update(first)
    assert drawn == []
    for _ in range(3):
        assert ask(page, "/rgb.jpg")[2] == b"jpeg"
    assert len(drawn) == 1
    page.update(snapshot())
    ask(page, "/rgb.jpg")
    assert len(drawn) == 2


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "HEAD", "TRACE"])
def test_it_takes_nothing(page: StatusPage, method: str) -> None:
    assert ask(page, "/snapshot", method)[0] == 501


@pytest.mark.parametrize(
    "path", ["/../../etc/passwd", "/page.py", "/%2e%2e/page.py", "//etc/passwd", "/rgb.jpg/..", "*"]
)
def test_it_gives_no_file(page: StatusPage, path: str) -> None:
    assert ask(page, path)[0] == 404


def test_it_answers_to_its_own_names_only(page: StatusPage) -> None:
    port = page.url.rpartition(":")[2].rstrip("/")
    for host in (f"localhost:{port}", "LOCALHOST", "127.0.0.1:99", "[::1]:8321", "localhost"):
        assert ask(page, "/snapshot", Host=host)[0] == 200, host
    for host in ("evil.example", f"evil.example:{port}", "localhost.evil.example", "", "[", "@"):
        assert ask(page, "/snapshot", Host=host)[0] == 421, host
    with socket.create_connection(("127.0.0.1", int(port)), 10) as raw:  # no Host at all
        raw.sendall(b"GET /snapshot HTTP/1.0\r\n\r\n")
        assert b" 421 " in raw.recv(4096)


def test_every_answer_forbids_what_it_does_not_need(page: StatusPage) -> None:
    page.update(snapshot())
    for path in ("/", "/page.css", "/page.js", "/icon.svg", "/snapshot", "/rgb.jpg", "/nothing"):
        _, headers, _ = ask(page, path)
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert "Python" not in headers["Server"]


def test_it_needs_nothing_from_elsewhere(page: StatusPage) -> None:
    for path in ("/", "/page.css", "/page.js"):
        content = ask(page, path)[2]
        assert b"http:" not in content
        assert b"https:" not in content
        assert b"innerHTML" not in content


def test_a_place_that_is_taken_is_an_error(page: StatusPage) -> None:
    port = int(page.url.rpartition(":")[2].rstrip("/"))
    with pytest.raises(StatusError, match=f"127.0.0.1:{port}: Address already in use"):
        StatusPage(StatusSettings(port=port)).start()
    with pytest.raises(StatusError, match=r"192\.0\.2\.1"):
        StatusPage(StatusSettings(port=0, host="192.0.2.1")).start()
    with pytest.raises(StatusError, match="host is empty: write"):
        StatusPage(StatusSettings(port=0, host="")).start()


def test_it_closes_and_its_port_is_free() -> None:
    first = StatusPage(StatusSettings(port=0))
    first.close()  # before it began
    first.start()
    port = int(first.url.rpartition(":")[2].rstrip("/"))
    first.close()
    again = StatusPage(StatusSettings(port=port))
    again.start()
    again.close()


CHROMIUM = shutil.which("chromium")


def browsed(url: str, folder: Path, *options: str) -> tuple[str, list[str]]:
    """The document that a browser makes of a page, and what it has to say about it."""
    assert CHROMIUM is not None
    quiet = ["--disable-gpu", "--no-first-run", "--disable-background-networking"]
    more = ["--disable-component-update", "--disable-sync", "--disable-quic"]
    root = ["--no-sandbox"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [
            CHROMIUM,
            "--headless",
            *root,
            *quiet,
            *more,
            *options,
            f"--user-data-dir={folder}",
            "--enable-logging=stderr",
            "--virtual-time-budget=3000",
            "--dump-dom",
            url,
        ],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_it(page: StatusPage, tmp_path: Path, scheme: str) -> None:
    page.update(snapshot())
    dark = ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
    dom, console = browsed(page.url, tmp_path, *dark)
    assert "<title>gate-3: rgb+tir</title>" in dom  # nobody has taken it
    assert "&lt;img src=x onerror=" in dom
    assert "<img src=x" not in dom
    for text in ("frozen", "the same picture for 5 frames", "cmft_rgb2nir", "12.3 ms", "12,345"):
        assert text in dom, text
    assert dom.count('src="http://127.0.0.1') == 2  # pictures of two sensors were loaded
    assert console == []


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium")
def test_a_browser_shows_several_heads(page: StatusPage, tmp_path: Path) -> None:
    lost = head(name="west", verdicts={}, frames={}, state=None, plan={}, lost="the model is gone")
    page.update(snapshot(head(name="east"), lost))
    assert ask(page, "/east/rgb.jpg")[0] == 200
    for path in ("/rgb.jpg", "/west/rgb.jpg", "/east/nir.jpg", "/east/east/rgb.jpg"):
        assert ask(page, path)[0] == 404, path
    dom, console = browsed(page.url, tmp_path)
    assert "<title>gate-3: east rgb+tir, west lost</title>" in dom
    assert dom.count('src="http://127.0.0.1') == dom.count("/east/") == 2
    for text in ("east", "west", "the model is gone", "nothing runs", "3 engines"):
        assert text in dom, text
    assert console == []
