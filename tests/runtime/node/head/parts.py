"""A head whose sources are played, without a bundle."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence

import numpy as np

from denet.graph import Modality
from runtime.node.announcer import Announcer
from runtime.node.backlog import Backlog
from runtime.node.boxes.box import Box
from runtime.node.boxes.finder import Finder, whole_frames
from runtime.node.head.camera_head import CameraHead
from runtime.node.head.output import HeadOutput
from runtime.node.head.run import HeadParts
from runtime.node.head.settings import HeadSettings
from runtime.node.sources import Source, SourceSettings
from runtime.node.sources.frame import Item
from runtime.node.stage_items import Crop
from runtime.node.tracks.settings import TrackSettings
from runtime.node.tracks.tracks import Tracks
from tests.runtime.node.parts import Remembered, ignore

PERIOD = 0.01


class Played(Source):
    """So many frames of noise, then an error, or (None) the end."""

    def __init__(
        self, modality: Modality, count: int, end: BaseException | None, *, live: bool = False
    ) -> None:
        super().__init__(modality, f"played {modality}", live=live)
        self._count, self._end = count, end

    def frames(self, stop: threading.Event) -> Generator[Item, None, None]:
        chance = np.random.default_rng(0)
        for _ in range(self._count):
            if stop.wait(PERIOD):
                return
            image = chance.integers(60, 200, (64, 32, 3), dtype=np.uint8)
            yield self.frame(time.monotonic(), image)
        if self._end is not None:
            raise self._end


def in_the_middle(_frames: object, _time: float) -> Sequence[Box]:
    return [Box(2, 2, 30, 60)]


class Head:
    """A head, its lane, and what it told.

    Args:
        lives: for each life what its source ends with after 20 frames.
        name: of it.
        finder: finds persons.
        tracks: whether they are followed.
    """

    def __init__(
        self,
        *lives: BaseException | None,
        name: str = "east",
        finder: Finder = whole_frames,
        tracks: TrackSettings | None = None,
        counts: Callable[[int], int] = lambda _life: 20,
    ) -> None:
        self.sink, self.said = Remembered(), list[str]()
        self.failed: list[str] = []
        announcer = Announcer("n", self.sink, "float16", self.said.append).of_head(name)
        self.lane: Backlog[Crop] = Backlog(10_000)
        self.opened = 0

        def open_sources() -> Mapping[Modality, Source]:
            self.opened += 1
            end = lives[min(self.opened, len(lives)) - 1]
            return {"rgb": Played("rgb", counts(self.opened), end)}

        def make(before: Tracks | None) -> Tracks:
            assert tracks is not None
            return Tracks(tracks, announcer, (32, 64), None, "float16", ignore, before)

        settings = HeadSettings(
            name=name, sources={"rgb": SourceSettings(url="folder:x", rate=1.0)}, tracks=tracks
        )
        parts = HeadParts(settings, {}, finder, None, self.lane, announcer, self.said.append, 5.0)
        self.head = CameraHead(
            parts,
            open_sources(),
            open_sources,
            HeadOutput(announcer, ignore, None if tracks is None else make(None)),
            make,
            lambda: 0,
            lambda stage, _error: self.failed.append(stage),
        )
        self.head._backoff.next = lambda: 0.0  # type: ignore[method-assign]

    def run(self, seconds: float = 30.0) -> None:
        """Until it is over."""
        self.head.start()
        self.tend_until(lambda: self.head.over, seconds)
        assert self.head.join(5.0)

    def tend_until(self, true: Callable[[], object], seconds: float = 30.0) -> None:
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end
            self.head.tend()
            snapshot = self.head.snapshot()
            accounts = [*snapshot.frames.values(), snapshot.triplets, snapshot.crops]
            accounts += [] if snapshot.tracks is None else [snapshot.tracks.account]
            assert all(account.balanced for account in accounts), snapshot
            time.sleep(0.002)

    @property
    def notices(self) -> list[str | None]:
        return [kind for kind, _ in self.sink.notices() if str(kind).startswith("head")]
