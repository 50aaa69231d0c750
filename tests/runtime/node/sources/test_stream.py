"""RTSP from a real server that freezes, dies and hangs."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from runtime.node.backoff import Backoff
from runtime.node.health import Health, Verdict
from runtime.node.sources import (
    Feed,
    Frame,
    Inbox,
    Notice,
    SourceSettings,
    Synchronizer,
    open_source,
)
from runtime.node.sources.stream import StreamSource
from tests.runtime.node.rtsp import RtspCamera, system_python
from tests.runtime.node.sources.parts import write_video


class Watcher:
    """A node with one camera, as far as its health."""

    def __init__(self, url: str) -> None:
        self.inbox = Inbox(["tir"])
        source = open_source("tir", SourceSettings(url=url, timeout=2.0))
        self.feed = Feed(source, self.inbox, Backoff(0.1, 0.5))
        self.synchronizer, self.health = Synchronizer(["tir"]), Health(["tir"])
        self.said = ""

    def until(self, enough: Callable[[Verdict], bool], seconds: float = 60) -> None:
        """Runs until a verdict is as wanted; which may take long on a busy machine."""
        verdict, end = None, time.monotonic() + seconds
        while time.monotonic() < end:
            for item in self.inbox.take(0.05):
                if isinstance(item, Notice):
                    self.health.hear(item)
                    self.said += item.reason
                else:
                    self.synchronizer.push(item, time.monotonic())
            now = time.monotonic()
            for triplet in self.synchronizer.poll(now):
                verdict = self.health.judge(triplet, now).verdicts["tir"]
                if enough(verdict):
                    return
        raise AssertionError(f"waited in vain; last: {verdict}")

    def healthy_frames(self, count: int) -> None:
        left = itertools.count(count, -1)
        self.until(lambda v: v.healthy and next(left) <= 0)


@pytest.fixture
def camera() -> Iterator[RtspCamera]:
    pytest.importorskip("av")
    camera = RtspCamera(system_python("Gst", "GstRtspServer"))
    camera.start()
    yield camera
    camera.kill()


def test_rtsp_is_followed_through_freeze_death_and_another_size(camera: RtspCamera) -> None:
    watcher = Watcher(camera.url)
    watcher.feed.start()
    watcher.healthy_frames(20)
    camera.tell("freeze")
    watcher.until(lambda v: v.fault == "frozen")
    camera.tell("thaw")
    watcher.until(lambda v: v.healthy)
    camera.kill()
    watcher.until(lambda v: v.fault == "absent" and "refused" in v.reason)
    camera.start(width=208, height=144)
    watcher.until(lambda v: v.fault == "size" and "208x144 pixels instead of 160x120" in v.reason)
    camera.kill()
    camera.start()
    watcher.until(lambda v: v.healthy)
    watcher.feed.stop()
    assert watcher.feed.join(20)
    assert "secret" not in watcher.said


@pytest.mark.slow
def test_rtsp_that_hangs_is_given_up_and_tried_again(camera: RtspCamera) -> None:
    watcher = Watcher(camera.url)
    watcher.feed.start()
    watcher.healthy_frames(5)
    camera.process.send_signal(signal.SIGSTOP)
    watcher.until(lambda v: v.fault == "absent" and "no data for 2 s" in v.reason)
    camera.process.send_signal(signal.SIGCONT)
    watcher.until(lambda v: v.healthy)
    watcher.feed.stop()
    assert watcher.feed.join(20)


def test_frames_of_any_address_are_dated_by_their_stamps(tmp_path: Path) -> None:
    """Without a server: what FFmpeg opens is read as a camera is."""
    path = tmp_path / "film.mkv"
    images = [np.full((64, 64, 3), 10 * i, np.uint8) for i in range(12)]
    write_video(path, images, "ffv1", "bgr0", rate=20)
    source = StreamSource("rgb", str(path), form=None, options={})
    before = time.monotonic()
    for _ in range(2):  # two connections, one clock
        found = list(source.frames(threading.Event()))
        assert [item.image[0, 0, 0] for item in found if isinstance(item, Frame)] == [
            10 * i for i in range(12)
        ]
        assert all(before <= item.time <= time.monotonic() for item in found)
        assert not source.doubt
