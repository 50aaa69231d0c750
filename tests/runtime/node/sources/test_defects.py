"""A defect of this program is not a lost camera: it is not tried again, and it ends the node."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.node import Node
from runtime.node.backoff import Backoff
from runtime.node.running import run_node
from runtime.node.settings import convert
from runtime.node.sources import Feed, Inbox, Item, Notice, Source, SourceError, open_source
from runtime.node.sources.settings import SourceSettings
from tests.runtime.node.parts import document

PIXEL = np.zeros((1, 1), np.uint8)

LOSSES = [
    SourceError("cam: refused"),
    OSError("no such device"),
    ConnectionResetError("by peer"),
    TimeoutError("no data"),
    MemoryError("no room for a picture"),
]
DEFECTS = [
    TypeError("open() got an unexpected keyword argument 'metadata_errors'"),
    AttributeError("'Packet' has no attribute 'pts'"),
    ZeroDivisionError("a bug"),
    KeyError("rgb"),
    ValueError("a picture of a kind that nobody thought of"),
]


class Failing(Source):
    """A camera that gives two frames and then raises an error."""

    def __init__(self, error: Exception) -> None:
        super().__init__("rgb", "cam", live=True)
        self.error = error
        self.connections = 0

    def frames(self, stop: threading.Event) -> Generator[Item, None, None]:
        self.connections += 1
        yield self.frame(time.monotonic(), PIXEL)
        yield self.frame(time.monotonic(), PIXEL)
        raise self.error


def named(error: Exception) -> str:
    return type(error).__name__


@pytest.mark.parametrize("error", LOSSES, ids=named)
def test_what_the_camera_or_the_system_did_is_a_loss_and_tried_again(error: Exception) -> None:
    source, inbox = Failing(error), Inbox(["rgb"], depth=100)
    feed = Feed(source, inbox, Backoff(0.001, 0.01))
    feed.start()
    end = time.monotonic() + 30
    while source.connections < 3 and time.monotonic() < end:
        time.sleep(0.001)
    feed.stop()
    assert feed.join(10)
    notices = [x for x in inbox.take(0) if isinstance(x, Notice)]
    lost = [x for x in notices if x.stage == "lost"]
    assert len(lost) >= 2
    assert all(str(error) in x.reason and "next try in" in x.reason for x in lost)
    assert all(x.error is None for x in notices)


@pytest.mark.parametrize("error", DEFECTS, ids=named)
def test_a_defect_is_told_and_not_tried_again(error: Exception) -> None:
    source, inbox = Failing(error), Inbox(["rgb"])
    feed = Feed(source, inbox, Backoff(0.001, 0.01))
    feed.start()
    assert feed.join(10), "it goes on"
    assert source.connections == 1
    notices = [x for x in inbox.take(0) if isinstance(x, Notice)]
    assert [x.stage for x in notices] == ["opening", "running", "failed"]
    assert notices[-1].error is error
    for words in ("cam", type(error).__name__, str(error), "defect"):
        assert words in notices[-1].reason


def test_a_password_in_a_defect_is_not_told() -> None:
    inbox = Inbox(["rgb"])
    feed = Feed(Failing(TypeError("rtsp://me:secret@cam/ is not a number")), inbox)
    feed.start()
    assert feed.join(10)
    assert "secret" not in str([x.reason for x in inbox.take(0) if isinstance(x, Notice)])


def test_an_argument_that_the_decoder_does_not_know_is_no_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with PyAV 19, which took one away: each camera was lost, for ever."""
    av = pytest.importorskip("av")

    def other(*_: object, **given: Any) -> None:
        raise TypeError(f"open() got an unexpected keyword argument {min(given)!r}")

    monkeypatch.setattr(av, "open", other)
    (tmp_path / "film.mp4").touch()
    with pytest.raises(TypeError, match="unexpected keyword"):
        open_source("rgb", SourceSettings(url=f"file:{tmp_path / 'film.mp4'}"))


def test_a_defect_of_a_source_ends_the_node_and_is_told(
    bundle_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise TypeError("a defect")

    given = document(bundle_path, data / "test")
    for source in given["sources"].values():
        source["loop"] = True
    said: list[str] = []
    node = Node(convert(given), notify=said.append)
    monkeypatch.setattr("runtime.node.sources.folder.read_pixels", broken)
    facts = run_node(node, lambda _: None, seconds=60.0)
    assert facts.running < 30, "nobody noticed"
    assert node.failure == "sources: TypeError: a defect"
    assert any(x.split(": ")[1] == "failed" and "TypeError: a defect" in x for x in said)
    for account in (*facts.frames.values(), facts.triplets, facts.crops):
        assert account.balanced
