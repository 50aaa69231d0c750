"""What a setting makes a source of."""

from __future__ import annotations

import importlib
import threading
from pathlib import Path
from typing import Any

import pytest

from runtime.node.sources import (
    Feed,
    Frame,
    Inbox,
    Notice,
    SourceError,
    SourceSettings,
    open_source,
    open_sources,
)
from tests.runtime.node.sources.parts import MODALITIES, write_recording


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (SourceSettings(url="camera"), "is no source"),
        (SourceSettings(url="ftp://cam"), "no kind of source 'ftp'"),
        (SourceSettings(url="folder:/nowhere"), "give a rate"),
        (SourceSettings(url="folder:/nowhere", rate=5), "/nowhere: there is no such folder"),
        (SourceSettings(url="file:/nowhere.mp4"), r"/nowhere\.mp4: there is no such"),
        (SourceSettings(url="rtsp://u:secret@cam/", rate=5), r"\*\*\*@cam/: a camera has its own"),
    ],
)
def test_a_wrong_setting_is_named(wanted: SourceSettings, words: str) -> None:
    with pytest.raises(SourceError, match=words) as caught:
        open_source("rgb", wanted)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_device_that_is_not_there_is_named() -> None:
    pytest.importorskip("av")
    source = open_source("tir", SourceSettings(url="v4l2:/dev/video99"))
    with pytest.raises(SourceError, match="/dev/video99"):
        next(source.frames(threading.Event()))


def test_packages_that_are_not_there_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str, _package: str | None = None) -> Any:
        raise ModuleNotFoundError(f"no module named {name}", name=name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(SourceError, match=r"PyAV.*pip install '\.\[node\]'"):
        open_source("rgb", SourceSettings(url="rtsp://cam/"))
    with pytest.raises(SourceError, match=r"PyGObject.*apt install python3-gi"):
        open_source("rgb", SourceSettings(url="gst:videotestsrc"))


def test_recordings_begin_together(tmp_path: Path) -> None:
    write_recording(tmp_path)
    wanted = SourceSettings(url=f"folder:{tmp_path}", rate=200)
    sources = open_sources(dict.fromkeys(MODALITIES, wanted))
    inbox = Inbox(sources, depth=100)
    feeds = [Feed(source, inbox) for source in sources.values()]
    for feed in feeds:
        feed.start()
    assert all(feed.join(20) for feed in feeds)
    items = inbox.take(0)
    firsts = {x.time for x in items if isinstance(x, Frame) and x.sequence == 0}
    assert len(firsts) == 1
    ended = [x.modality for x in items if isinstance(x, Notice) and x.stage == "ended"]
    assert sorted(ended) == sorted(MODALITIES)
