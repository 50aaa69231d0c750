"""Threads that keep sources running."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from denet.graph import Modality
from runtime.node.backoff import Backoff
from runtime.node.sources import (
    Feed,
    Frame,
    Inbox,
    Item,
    Notice,
    Source,
    SourceError,
    Synchronizer,
    TrackTiming,
)
from runtime.node.sources.folder import Recording
from tests.runtime.node.sources.parts import PIXEL, collect


class Scripted(Source):
    """Runs one function of a list at each connection, the last for ever."""

    def __init__(
        self,
        modality: Modality,
        *connections: Callable[[Scripted], Iterator[Item]],
        live: bool = True,
    ) -> None:
        super().__init__(modality, "scripted", live=live)
        self.connections = list(connections)

    def frames(self, stop: threading.Event) -> Generator[Item, None, None]:
        connect = self.connections.pop(0) if len(self.connections) > 1 else self.connections[0]
        yield from connect(self)


def gives(count: int) -> Callable[[Scripted], Iterator[Item]]:
    return lambda source: (source.frame(time.monotonic(), PIXEL) for _ in range(count))


def fails(error: Exception) -> Callable[[Scripted], Iterator[Item]]:
    def connect(source: Scripted) -> Iterator[Item]:
        raise error
        yield

    return connect


def test_what_is_not_believed_of_a_source_is_told_once_and_so_is_its_end() -> None:
    def connect(source: Scripted) -> Iterator[Item]:
        for doubt in ("", "", "its clock is slow", "its clock is slow", "", ""):
            source.doubt = doubt
            yield source.frame(time.monotonic(), PIXEL)

    inbox = Inbox(["rgb"])
    Feed(Scripted("rgb", connect, live=False), inbox).start()
    told = collect(
        inbox, lambda found: any(isinstance(x, Notice) and x.stage == "ended" for x in found)
    )
    reasons = [x.reason for x in told if isinstance(x, Notice) and x.stage == "running"]
    assert reasons == [
        "scripted",
        "scripted: its clock is slow",
        "scripted: its time stamps are believed again",
    ]


def test_a_lost_source_is_tried_again_for_ever() -> None:
    source = Scripted(
        "rgb",
        fails(SourceError("cam: refused")),
        gives(2),
        fails(OSError("no such device")),
        fails(SourceError("cam: refused again")),
        gives(3),
    )
    inbox = Inbox(["rgb"], depth=100)
    feed = Feed(source, inbox, Backoff(0.001, 0.01))
    feed.start()
    found = collect(inbox, lambda x: sum(isinstance(i, Frame) for i in x) >= 8)
    feed.stop()
    assert feed.join(10)
    reasons = [i.reason for i in found if isinstance(i, Notice) and i.stage == "lost"]
    for reason, words in zip(
        reasons,
        ("cam: refused", "the stream ended", "OSError: no such device", "refused again", "ended"),
        strict=False,
    ):
        assert words in reason
        assert "next try in" in reason
    numbers = [i.sequence for i in found if isinstance(i, Frame)]
    assert numbers == list(range(len(numbers)))


def test_a_recording_ends_and_is_not_tried_again() -> None:
    inbox = Inbox(["rgb"])
    feed = Feed(Scripted("rgb", gives(2), live=False), inbox)
    feed.start()
    assert feed.join(10)
    stages = [x.stage for x in inbox.take(0) if isinstance(x, Notice)]
    assert stages == ["opening", "running", "ended"]


def test_a_source_that_blocks_blocks_nobody_else() -> None:
    release = threading.Event()

    def blocks(source: Scripted) -> Iterator[Item]:
        release.wait()
        yield from gives(1)(source)

    def forever(source: Scripted) -> Iterator[Item]:
        while True:
            yield source.frame(time.monotonic(), PIXEL)
            time.sleep(0.001)

    inbox = Inbox(["rgb", "tir"])
    feeds = [Feed(Scripted("rgb", blocks), inbox), Feed(Scripted("tir", forever), inbox)]
    for feed in feeds:
        feed.start()
    collect(inbox, lambda x: sum(isinstance(i, Frame) for i in x) >= 50)
    for feed in feeds:
        feed.stop()
    assert feeds[1].join(10)
    assert not feeds[0].join(0.01)  # stuck, and a daemon
    release.set()
    assert feeds[0].join(10)


def test_from_files_to_triplets_every_frame_is_accounted_for(tmp_path: Path) -> None:
    """In real threads, however slow the machine: in = skipped + overrun + dropped + used."""
    for name in ("RGB", "TI"):
        (tmp_path / name).mkdir()
        for i in range(60):
            Image.fromarray(np.full((8, 8), i, np.uint8)).save(tmp_path / name / f"{i:03}.png")
    recording = Recording(tmp_path, rate=200)
    sources = recording.sources()
    inbox, synchronizer = Inbox(sources), Synchronizer(sources, TrackTiming(tolerance=0.002))
    feeds = [Feed(source, inbox) for source in sources.values()]
    for feed in feeds:
        feed.start()
    ended, triplets = 0, []
    while ended < 2:
        for item in inbox.take(1.0):
            if isinstance(item, Notice):
                ended += item.stage == "ended"
            else:
                synchronizer.push(item, time.monotonic())
        triplets += synchronizer.poll(time.monotonic())
    for item in inbox.take(0):
        assert not isinstance(item, Notice)
        synchronizer.push(item, time.monotonic())
    triplets += synchronizer.flush(time.monotonic())
    for m, source in sources.items():
        assert source.skipped + inbox.received[m] == 60
        assert inbox.received[m] == inbox.overrun[m] + synchronizer.received[m]
        dropped = sum(n for (which, _), n in synchronizer.dropped.items() if which == m)
        assert synchronizer.received[m] == synchronizer.used[m] + dropped
    for triplet in triplets:
        assert len({int(x.image[0, 0]) for x in triplet.frames.values()}) <= 1  # type: ignore[union-attr]
