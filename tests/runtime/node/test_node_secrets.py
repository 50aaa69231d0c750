"""A secret at any place of a configuration is in nothing that a node says."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from denet import secrets
from denet.console import say_aside, say_error
from denet.errors import DenetError
from denet.secrets import redacted, remember_secret
from runtime.node.announcer import Announcer
from runtime.node.check import check_node
from runtime.node.errors import NodeError
from runtime.node.settings import convert
from runtime.node.sources import Feed, Inbox, Notice, Source, SourceError
from runtime.node.sources.frame import Item
from runtime.node.stage import Stage
from tests.runtime.node.parts import Remembered

PLACES: dict[str, Callable[[str], dict[str, Any]]] = {
    "a camera's password": lambda s: camera(f"rtsp://admin:{s}@127.0.0.1:1/live"),
    "a password without a scheme": lambda s: camera(f"admin:{s}@127.0.0.1/live"),
    "a password of another scheme": lambda s: camera(f"ftp://admin:{s}@127.0.0.1/live"),
    "a file by a URL": lambda s: camera(f"file:http://admin:{s}@127.0.0.1/live.mp4"),
    "a query": lambda s: camera(f"rtsp://127.0.0.1:1/live?channel=1&token={s}"),
    "a query of another scheme": lambda s: camera(f"http://127.0.0.1:1/live?a={s}&channel=1"),
    "a pipeline": lambda s: camera(f'gst:rtspsrc location=rtsp://127.0.0.1:1/ user-pw="{s}"'),
    "a URL in a pipeline": lambda s: camera(f"gst:rtspsrc location=rtsp://a:{s}@127.0.0.1:1/ ! q"),
    "an option": lambda s: camera(
        "rtsp://127.0.0.1:1/live", options={"headers": f"Authorization: Basic {s}\r\n"}
    ),
    "a broker's address": lambda s: broker(f"mqtt://node:{s}@127.0.0.1:1"),
    "a broker's address without a scheme": lambda s: broker(f"node:{s}@127.0.0.1:1"),
    "a broker's query": lambda s: broker(f"mqtt://127.0.0.1:1?password={s}"),
    "a gallery": lambda s: {"gallery": {"url": f"postgres://denet:{s}@127.0.0.1/gallery"}},
    "a gallery's query": lambda s: {"gallery": {"url": f"postgres://127.0.0.1/g?sslpassword={s}"}},
}


def camera(url: str, **more: Any) -> dict[str, Any]:
    return {"sources": {"rgb": {"url": url, "timeout": 0.2, **more}}}


def broker(url: str) -> dict[str, Any]:
    return {"events": {"mqtt": {"url": url, "outbox": "no/such/folder/outbox.db"}}}


# Quotes within quotes of a pipeline, and what parts a query or a header, end a secret.
SECRETS = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters="\"'&;#=<>\\"),
    min_size=8,
    max_size=20,
).map(lambda text: f"{text}7q")  # no word of ours


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test has told is no secret in the next."""
    monkeypatch.setattr(secrets, "_known", {})


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(secret=SECRETS)
@example(secret="0000000\u00a17q")
def test_a_check_shows_no_secret(
    place: Callable[[str], dict[str, Any]], secret: str, capsys: pytest.CaptureFixture[str]
) -> None:
    secrets._known.clear()
    base = {"name": "gate-3", "model": {"bundle": "no/such.denet"}} | camera("folder:no/such")
    said: list[str] = []
    try:
        made = convert(base | place(secret))
        said.append(repr(made))
        problems = check_node(made, said.append)
        assert problems
        for problem in problems:
            say_error(problem)
            say_aside(problem)
    except DenetError as error:
        said.append(f"{error} {error!r}")
    shown = "\n".join([*said, *capsys.readouterr()])
    assert secret not in shown
    # What a library makes of it, too: a part of its text, in capitals, quoted, as JSON.
    for text in (secret, secret.lower(), repr(secret), json.dumps(secret)):
        assert secret.lower() not in redacted(f"cannot do {text} there: refused").lower()


class Repeating(Source):
    """Says what it was given, as libraries do."""

    def __init__(self, text: str) -> None:
        super().__init__("rgb", "cam", live=True)
        self.text = text

    def frames(self, stop: threading.Event) -> Iterator[Item]:  # type: ignore[override]
        yield self.undecodable(0.0, self.text)
        raise SourceError(self.text)


def test_what_a_source_a_stage_and_an_announcer_say_has_no_secret() -> None:
    remember_secret("correct horse")
    text = "no route to correct horse at rtsp://me:battery@cam/?sig=staple"
    inbox = Inbox(["rgb"])
    feed = Feed(Repeating(text), inbox)
    feed.start()
    got: list[object] = []
    while not any(isinstance(x, Notice) and x.stage == "lost" for x in got):
        got += inbox.take(10)
    feed.stop()
    stage = Stage("work", lambda _beat: None)
    stage.note(ValueError(text))
    sink, said = Remembered(), []
    announcer = Announcer("gate", sink, "float16", said.append)
    announcer.notice("stage failed", text)
    everything = f"{got} {stage.failure} {said} {sink.events} {NodeError(text)!r}"
    for secret in ("correct horse", "battery", "staple"):
        assert secret not in everything, secret
    assert "at rtsp://***@cam/?sig=***" in everything


def test_what_stands_for_a_secret_is_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORD", "correct horse")
    (tmp_path / "word").write_text("battery staple\n")
    given_ = {
        "name": "gate-3",
        "model": {"bundle": "${env:WORD}.denet"},
        "sources": {"rgb": {"url": f"folder:no/${{file:{tmp_path / 'word'}}}", "rate": 1}},
    }
    problems = check_node(convert(given_), lambda _: None)
    assert len(problems) == 2
    assert "correct horse" not in str(problems)
    assert "battery staple" not in str(problems)


@pytest.mark.parametrize(
    ("section", "told"),
    [("status", "status.host: is empty"), ("metrics", "metrics.host: is empty")],
)
def test_an_empty_host_is_refused(section: str, told: str) -> None:
    base = {"name": "gate-3", "model": {"bundle": "b"}, **camera("folder:f")}
    with pytest.raises(NodeError, match=f"{section}.host: is empty"):
        convert({**base, section: {"port": 1, "host": ""}})
