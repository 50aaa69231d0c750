"""One life of a camera head: its sources, and the two stages that make crops of their frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from denet.graph import Modality
from runtime.node.announcer import Announcer
from runtime.node.backlog import Account, Backlog
from runtime.node.boxes.finder import Finder
from runtime.node.boxes.homography import Views
from runtime.node.head.cutter import Cutter
from runtime.node.head.intake import Intake
from runtime.node.head.settings import HeadSettings
from runtime.node.health import Assessment, Health, Limits
from runtime.node.notify import Notify
from runtime.node.sources import Feed, Inbox, Source, Synchronizer
from runtime.node.sources.frame import Pixels
from runtime.node.stage import Beat, Stage
from runtime.node.stage_items import Crop, Moment
from runtime.node.tracks.tracks import Tracks

MOMENTS = 4
"""Moments that wait at most for their boxes: old ones are worth less than new ones."""


@dataclass(frozen=True, eq=False)
class HeadParts:
    """What is the same in all lives of a head.

    Attributes:
        settings: of the head.
        limits: of the health of each sensor.
        finder: tells where persons are.
        views: where a place of the RGB frame is in other modalities.
        lane: where its crops go.
        announcer: of the head.
        notify: told what becomes of sources and of boxes.
        drain: seconds that a stop may take to finish what is under way.
    """

    settings: HeadSettings
    limits: Mapping[Modality, Limits]
    finder: Finder
    views: Views | None
    lane: Backlog[Crop]
    announcer: Announcer
    notify: Notify
    drain: float


class HeadRun:
    """From sources to crops, until the sources end, it is stopped, or a defect ends it.

    Attributes:
        stages: all its threads.
        work: those of them that end when nothing comes any more.

    Args:
        parts: of the head.
        sources: not used yet, by modality in the order of the model's.
        tracks: follows who is found; None where each crop stands alone.
        notify_failing: told why the finder fails, and "" when it works again.
        failed: told which stage a defect ended, and what it was.
        ended: called where all went on that came.
    """

    def __init__(
        self,
        parts: HeadParts,
        sources: Mapping[Modality, Source],
        tracks: Tracks | None,
        notify_failing: Callable[[str], None],
        failed: Callable[[str, BaseException], None],
        ended: Callable[[], None],
    ) -> None:
        name = parts.settings.name
        prefix = f"{name}: " if name else ""
        inbox = Inbox(sources)
        self._feeds = [Feed(source, inbox, head=prefix) for source in sources.values()]
        self._moments: Backlog[Moment] = Backlog(MOMENTS)
        self._intake = Intake(
            inbox,
            Synchronizer(sources, parts.settings.timing),
            Health(sources, parts.limits),
            self._moments,
            parts.announcer,
            parts.notify,
            parts.drain,
        )
        # The engines bring 16-bit pixels of all heads to 8 bits alike: one that has its own range
        # does it before. Of a node without names its range is that of the engines.
        cutter = Cutter(
            self._moments,
            parts.lane,
            parts.finder,
            parts.views,
            notify_failing,
            parts.drain,
            tracks,
            head=name,
            ranges=parts.settings.ranges if name else {},
        )

        def cut(beat: Beat) -> None:
            cutter.run(beat)
            ended()

        self.work = [
            Stage(f"{prefix}sources", self._intake.run, failed),
            Stage(f"{prefix}boxes", cut, failed),
        ]
        self.stages = [*self.work, *(feed.stage for feed in self._feeds)]
        for stage in self.stages:
            stage.head = name

    def start(self) -> None:
        """Begin."""
        for stage in self.work:
            stage.start()
        for feed in self._feeds:
            feed.start()

    def stop(self, *, now: bool = False) -> None:
        """Take in no more frames; does not wait.

        Args:
            now: drop those that are under way, too.
        """
        for feed in self._feeds:
            feed.stop()
        self._intake.stop()
        if now:
            self._moments.clear()

    @property
    def assessment(self) -> Assessment | None:
        """The last; None before the first triplet."""
        return self._intake.assessment

    @property
    def pixels(self) -> Mapping[Modality, Pixels]:
        """The last of each sensor."""
        return self._intake.pixels

    def frames(self) -> Mapping[Modality, Account]:
        """What became of the frames of each modality."""
        return self._intake.snapshot()

    def triplets(self) -> Account:
        """What became of triplets."""
        return self._moments.snapshot()
