"""The page of a fleet: what it answers, to whom, and what a browser makes of it."""

from __future__ import annotations

import base64
import http.client
import io
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("psycopg", reason="needs psycopg: pip install '.[central]'")

from runtime.bundle.bundle import Bundle
from runtime.fleet.page.serving import LARGEST, FleetPage
from runtime.fleet.score_file import score_file
from runtime.fleet.settings import ArchiveSettings, FleetSettings, PageSettings, QuestionSettings
from runtime.gallery.scores import carried_scores, scores_text
from runtime.gallery.space import Space
from runtime.node.demo.demonstration import BUNDLE
from runtime.node.events import Condition, EventIds, TrackCrop, TrackEvent
from runtime.postgres.connecting import Connection
from runtime.runtime import Runtime
from tests.command import denet, refused
from tests.runtime.fleet.drawn import NOON, event, pooled, put
from tests.runtime.fleet.page.browser import CHROMIUM, Browser

NASTY = "<img src=x onerror=alert(1)>"

STATE = "rgb+nir+tir"


@pytest.fixture(scope="module")
def embedder() -> Iterator[Runtime]:
    with Runtime.load(BUNDLE, "ort-cpu") as loaded:
        yield loaded


def look(seed: int) -> dict[str, Image.Image]:
    """Somebody in three modalities."""
    random = np.random.default_rng(seed)
    return {
        m: Image.fromarray(random.integers(0, 256, (12, 6, 3), dtype=np.uint8)).resize((48, 96))
        for m in ("rgb", "nir", "tir")
    }


def jpeg(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=95)
    return stream.getvalue()


def passes(runtime: Runtime) -> list[TrackEvent]:
    """Three people pass two cameras; one sensor of the second is frozen; a name is nasty."""
    manifest = runtime.bundle.manifest
    made = []
    ids = {name: EventIds(name) for name in ("gate", NASTY)}
    for person in range(3):
        shown = look(person)
        vector = runtime.embed(shown)
        for n, node in enumerate(ids):
            one = event(
                ids[node],
                f"track-{person}",
                node=node,
                began=NOON + 100 * person + 30 * n,
                embeddings=[pooled(vector, STATE, count=1, agreement=1.0)],
                checkpoint=manifest.checkpoint_sha256,
            )
            pictures = {m: jpeg(image) for m, image in shown.items()}
            crops = [TrackCrop(time=one.track.began, state=STATE, pictures=pictures)]
            verdicts = {m: Condition(healthy=True) for m in shown}
            if n:
                verdicts["tir"] = Condition(healthy=False, fault="frozen")
            facts = msgspec.structs.replace(one.track, crops=crops)
            made.append(
                msgspec.structs.replace(
                    one,
                    track=facts,
                    verdicts=verdicts,
                    projection=Space.of(manifest).projection,
                )
            )
    return made


@pytest.fixture
def settings(url: str, tmp_path: Path) -> FleetSettings:
    scores = carried_scores(Bundle.open(BUNDLE))
    assert scores is not None
    (tmp_path / "scores.json").write_bytes(scores_text(scores.table))
    return FleetSettings(
        archive=ArchiveSettings(url=url),
        questions=QuestionSettings(scores=str(tmp_path / "scores.json"), bundle=str(BUNDLE)),
        page=PageSettings(port=0),
    )


@pytest.fixture
def page(archive: Connection, settings: FleetSettings, embedder: Runtime) -> Iterator[FleetPage]:
    put(archive, passes(embedder))
    shown = FleetPage(
        settings, score_file(settings.questions), embedder, carried_scores(embedder.bundle)
    )
    shown.start()
    yield shown
    shown.close()


def ask(page: FleetPage, path: str, body: object = None) -> tuple[int, Any]:
    port = int(page.url.rpartition(":")[2].rstrip("/"))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        data = body if isinstance(body, bytes | None) else json.dumps(body)
        connection.request("GET" if body is None else "POST", path, data)
        got = connection.getresponse()
        content = got.read()
        is_json = got.headers["Content-Type"] == "application/json"
        return got.status, json.loads(content) if is_json else content
    finally:
        connection.close()


def question(seed: int, *modalities: str, **values: str) -> dict[str, Any]:
    shown = look(seed)
    pictures = {m: base64.b64encode(jpeg(shown[m])).decode() for m in modalities}
    return {"pictures": pictures, **values}


def test_cameras(page: FleetPage) -> None:
    status, facts = ask(page, "/cameras")
    assert status == 200
    nasty, gate = facts["cameras"]
    assert (nasty["name"], gate["name"]) == (NASTY, "gate")
    assert gate["silent"]
    assert list(gate["sensors"]) == ["rgb", "nir", "tir"]
    assert nasty["sensors"]["tir"] == {"healthy": False, "fault": "frozen"}
    assert [each["key"] for each in facts["tracks"]][:2] == [f"{NASTY}/track-2", "gate/track-2"]
    assert facts["modalities"] == ["rgb", "nir", "tir"]
    assert len(gate["minutes"]) == 60


def test_pictures_that_are_dropped_find_their_person(page: FleetPage) -> None:
    status, facts = ask(page, "/search", question(1, "rgb", "nir", "tir"))
    assert status == 200, facts
    assert {each["key"] for each in facts["tracks"][:2]} == {"gate/track-1", f"{NASTY}/track-1"}
    assert "strangers would look so" in facts["tracks"][0]["words"]
    assert facts["said"].startswith("6 tracks were compared")
    status, facts = ask(page, "/search", question(1, "rgb", "tir", camera="gate"))
    assert {each["camera"] for each in facts["tracks"]} == {"gate"}
    status, facts = ask(page, "/search", question(1, "rgb", since="2h"))
    assert facts["tracks"] == []


def test_a_way_and_its_pictures(page: FleetPage, archive: Connection) -> None:
    for key in ("gate/track-1", f"{NASTY}/track-1"):
        archive.execute(
            "INSERT INTO members SELECT key, 'identity-1', 1, ended, told, number FROM tracks "
            "WHERE key = %s",
            (key,),
        )
    for name in ("gate/track-1", "identity-1"):
        status, facts = ask(page, f"/way/{quote(name, safe='')}")
        assert status == 200, facts
        assert facts["identity"] == "identity-1"
        assert [each["camera"] for each in facts["tracks"]] == ["gate", NASTY]
    status, content = ask(page, f"/picture/{quote('gate/track-1', safe='')}/tir")
    assert (status, content) == (200, jpeg(look(1)["tir"]))
    assert ask(page, "/picture/gate%2Ftrack-1/uv")[0] == 404
    assert ask(page, "/picture/gate%2Ftrack-1%00/tir")[0] == 404


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/search", b"no JSON", "not a question of the page"),
        ("/search", {"pictures": {}}, "give a picture of at least one sensor"),
        ("/search", {"pictures": {"uv": "AAAA"}}, "give a picture of at least one sensor"),
        ("/search", {"pictures": {"rgb": "AAAA"}}, "the RGB picture: not an image in"),
        ("/search", question(1, "rgb", since="soon"), "is no time"),
        ("/search", question(1, "rgb", camera="door"), "--camera door: there is none"),
        ("/way/gate%2Fnobody", None, "there is no such track"),
        ("/way/identity-0", None, "no such identity"),
    ],
)
def test_what_it_cannot_answer(page: FleetPage, path: str, body: object, words: str) -> None:
    status, facts = ask(page, path, body)
    assert status == 400
    assert words in facts["error"]
    assert "\n" not in facts["error"]


def test_damaged_pictures_are_told(page: FleetPage) -> None:
    cut = jpeg(look(1)["rgb"])[:300]
    body = {"pictures": {"rgb": base64.b64encode(cut).decode()}}
    status, facts = ask(page, "/search", body)
    assert status == 400
    assert facts["error"].startswith("the RGB picture: ")
    assert ask(page, "/cameras")[0] == 200


def test_what_is_too_large_is_refused_before_it_is_sent(page: FleetPage) -> None:
    port = int(page.url.rpartition(":")[2].rstrip("/"))
    head = f"POST /search HTTP/1.0\r\nHost: localhost\r\nContent-Length: {LARGEST + 1}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), 10) as stream:
        stream.sendall(head.encode())
        assert stream.recv(100).startswith(b"HTTP/1.0 413")


def test_it_changes_nothing(page: FleetPage) -> None:
    connection = page._connected()
    with pytest.raises(Exception, match="read-only"):
        connection.execute("DELETE FROM tracks")


def test_a_connection_that_is_lost_is_made_again(page: FleetPage, archive: Connection) -> None:
    assert ask(page, "/cameras")[0] == 200
    assert page._connection is not None
    archive.execute("SELECT pg_terminate_backend(%s)", (page._connection.info.backend_pid,))
    assert ask(page, "/cameras")[0] == 503
    assert ask(page, "/cameras")[0] == 200


def test_the_command(archive: Connection, settings: FleetSettings, tmp_path: Path) -> None:
    config = tmp_path / "fleet.toml"
    lines = f'[archive]\nurl = "{settings.archive.url}"\n[page]\nport = 0\n'
    config.write_text(lines)
    refused(denet("fleet", "page", config), "questions.scores: is missing")
    config.write_text(f'{lines}[questions]\nscores = "{settings.questions.scores}"\n')
    done = denet("fleet", "page", config, "--for", "0.2")
    assert done.exit_code == 0, done.output
    assert done.output.startswith("http://127.0.0.1:")
    config.write_text(config.read_text().replace("port = 0", 'host = "192.0.2.1"'))
    refused(denet("fleet", "page", config), "page: 192.0.2.1:8322")


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium")
@pytest.mark.parametrize("dark", [False, True])
def test_in_a_browser(page: FleetPage, tmp_path: Path, dark: bool) -> None:
    """Cameras are there, a picture is dropped, somebody is found and followed."""
    browser = Browser(tmp_path / "profile", dark=dark)
    try:
        browser.open(page.url)
        browser.until("document.querySelectorAll('.camera').length === 2")
        assert browser.run("document.querySelectorAll('.sensor.bad').length") == 1
        text = browser.run("document.body.innerText")
        assert NASTY in text
        assert "TIR frozen" in text
        for modality, image in look(1).items():
            browser.drop(f"[data-modality={modality}]", jpeg(image))
        browser.until("document.querySelectorAll('.drop img').length === 3")
        browser.run("document.getElementById('search').click()")
        browser.until("document.getElementById('what').textContent.startsWith('Found')")
        shown = "[...document.querySelectorAll('.views img')].every((each) => each.naturalWidth)"
        browser.until(shown)
        assert "6 tracks were compared" in browser.run("document.body.innerText")
        browser.run("document.querySelector('.track').click()")
        browser.until("document.querySelectorAll('#line i').length === 2")
        assert browser.run("document.querySelectorAll('#line i.asked').length") == 1
        assert browser.run("document.documentElement.scrollWidth <= innerWidth")
        browser.run("document.getElementById('since').value = 'soon'")
        browser.run("document.getElementById('search').click()")
        browser.until("document.getElementById('said').textContent.includes('is no time')")
        huge = "dropped.set('rgb', 'A'.repeat(4e6)), document.getElementById('search').click()"
        browser.run(huge)
        browser.until("document.getElementById('said').textContent.includes('too large')")
        browser.run("document.getElementById('clear').click()")
        browser.until("document.querySelectorAll('.drop img').length === 0")
        # The answer 400 is what the browser itself notes.
        assert [line for line in browser.console if "400" not in line] == []
    finally:
        browser.close()
