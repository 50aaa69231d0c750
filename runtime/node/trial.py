"""A few seconds of real frames through all of a node but its outputs: what comes out, and why it is
nothing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from queue import Full, Queue
from threading import Thread
from typing import Union

from denet.graph import Modality, State
from denet.pixels import Range
from runtime.node.boxes.box import Box
from runtime.node.boxes.cropping import brought_to_8_bits, crops
from runtime.node.boxes.finder import Finder
from runtime.node.boxes.homography import Views
from runtime.node.health import Fault, Health, Limits
from runtime.node.serving import Embeds
from runtime.node.sources import (
    Feed,
    Frame,
    Inbox,
    Notice,
    Source,
    Synchronizer,
    Triplet,
)
from runtime.node.sources.frame import Pixels
from runtime.node.sources.replay import replayed
from runtime.node.sources.track import TrackTiming
from runtime.node.stage import POLL

ENOUGH = 12
"""Frames of healthy sensors with somebody in them, after which a trial is over."""

WAITING = 8
"""Moments that wait for boxes and engines, at most."""

PATIENCE = 10.0
"""Seconds to wait for the first frame, beside the time of the trial."""

Size = tuple[int, int]


@dataclass
class Trial:
    """What came out.

    Attributes:
        took: seconds.
        moments: triplets of which there was a frame.
        healthy: in how many of them each modality was, by modality.
        faults: of the others, by modality: how often, and how it showed the last time.
        states: that were left, and how often.
        looked: moments in which persons were searched.
        most: persons in one of them, at most.
        found: boxes in all of them.
        lost: of those, how many were cut out nowhere, by reason.
        box: the first that was.
        sizes: (width, height) of the frames that were seen last, by modality.
        name: of the first frame, of a recorded folder.
        failures: of the finder and of the engines, the first of each.
        embedded: persons.
        spent: seconds of each moment with somebody in it.
    """

    took: float = 0.0
    moments: int = 0
    healthy: Counter[Modality] = field(default_factory=Counter)
    faults: dict[Modality, Counter[Fault]] = field(default_factory=dict)
    reasons: dict[Modality, str] = field(default_factory=dict)
    states: Counter[State] = field(default_factory=Counter)
    looked: int = 0
    most: int = 0
    found: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    box: Union[Box, None] = None
    sizes: dict[Modality, Size] = field(default_factory=dict)
    name: str | None = None
    failures: dict[str, str] = field(default_factory=dict)
    embedded: int = 0
    spent: list[float] = field(default_factory=list)

    def line(self) -> str:
        """For a person: "12 frames, 3 persons, state rgb+tir, 31 ms"."""
        states = ", ".join(state.name for state, _ in self.states.most_common())
        parts = [_several(self.moments, "frame"), _several(self.most, "person")]
        parts.append(f"state{'s' if len(self.states) > 1 else ''} {states}")
        if self.spent:
            parts.append(f"{1e3 * sorted(self.spent)[len(self.spent) // 2]:.0f} ms")
        return ", ".join(parts)


@dataclass(frozen=True, eq=False)
class Parts:
    """What a trial runs.

    Attributes:
        sources: not used yet.
        timing: how frames are matched.
        limits: of the health of each sensor.
        finder: tells where persons are.
        views: where a place of the RGB frame is in other modalities.
        runtime: embeds.
        largest: persons of a moment that are embedded, at most.
        ranges: the values of black and white of sensors whose crops are brought to 8 bits before
            they are embedded.
    """

    sources: Mapping[Modality, Source]
    timing: TrackTiming
    limits: Mapping[Modality, Limits]
    finder: Finder
    views: Views | None
    runtime: Embeds
    largest: int
    ranges: Mapping[Modality, Range] = field(default_factory=dict)


def try_whole(parts: Parts, seconds: float) -> Trial:
    """Run sources, health, boxes, views and engines until `ENOUGH` came out, the recordings end, or
    `seconds` are over. Nothing is told to anybody, and nothing is written.

    Of recordings alone all frames are taken, however slow or fast the machine is: what comes out
    depends on them and not on it.

    Args:
        parts: what to run; the sources are opened and let go of.
        seconds: after the first frame, at most.
    """
    return _Running(parts).run(seconds)


class _Running:
    """Cameras are taken in and judged in one thread as they come; another does what takes longer,
    and is given no more than it can do. Recordings wait for all of it."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._trial = Trial()
        self._synchronizer = Synchronizer(parts.sources, parts.timing)
        self._health = Health(parts.sources, parts.limits)
        self._running = set(parts.sources)
        self._healthy: Queue[tuple[Mapping[Modality, Frame], float] | None] = Queue(WAITING)
        self._good = 0  # moments with somebody in them, and nothing amiss

    def run(self, seconds: float) -> Trial:
        if any(source.live for source in self._parts.sources.values()):
            self._watch(seconds)
        else:
            self._replay(seconds)
        return self._trial

    def _replay(self, seconds: float) -> None:
        """Recordings: every frame, at the pace of this machine, as if there were no other clock
        than theirs."""
        first, now = None, 0.0
        ended = self._trial.reasons.__setitem__
        found = replayed(self._parts.sources, self._synchronizer, ended)
        with closing(found):
            for triplet, now in found:
                first = now if first is None else first
                if now > first + seconds or self._good >= ENOUGH:
                    break
                self._see(triplet, now, self._search)
        self._trial.took = now - (first or now)

    def _watch(self, seconds: float) -> None:
        inbox = Inbox(self._parts.sources, WAITING)
        began, first = time.monotonic(), None
        worker = Thread(target=self._work, daemon=True)
        with ExitStack() as started:
            for source in self._parts.sources.values():
                feed = Feed(source, inbox)
                started.callback(feed.join, PATIENCE)
                started.callback(feed.stop)
                feed.start()
            worker.start()
            while self._running and self._good < ENOUGH:
                now = time.monotonic()
                if first is None and self._trial.moments:
                    first = now
                if now > (began + seconds + PATIENCE if first is None else first + seconds):
                    break
                inbox.wait(POLL)
                self._take(inbox)
        self._healthy.put(None)
        worker.join()
        self._trial.took = time.monotonic() - (first or began)

    def _work(self) -> None:
        while (moment := self._healthy.get()) is not None:
            if self._good < ENOUGH:
                self._search(*moment)

    def _hand_over(self, usable: Mapping[Modality, Frame], moment: float) -> None:
        with suppress(Full):  # those that wait are as good as a new one
            self._healthy.put_nowait((usable, moment))

    def _take(self, inbox: Inbox) -> None:
        for item in inbox.take(0.0):
            if isinstance(item, Notice):
                self._health.hear(item)
                if item.stage in ("ended", "failed"):
                    self._running.discard(item.modality)
                if item.stage in ("ended", "failed", "lost"):
                    self._trial.reasons.setdefault(item.modality, item.reason)
            else:
                self._synchronizer.push(item, time.monotonic())
        now = time.monotonic()
        for triplet in self._synchronizer.poll(now):
            self._see(triplet, now, self._hand_over)

    def _see(
        self,
        triplet: Triplet,
        now: float,
        search: Callable[[Mapping[Modality, Frame], float], None],
    ) -> None:
        trial, frames = self._trial, triplet.frames
        if not frames and not trial.moments:
            return  # nobody has delivered yet
        trial.moments += 1
        assessment = self._health.judge(triplet, now)
        for m, verdict in assessment.verdicts.items():
            if verdict.fault is None:
                trial.healthy[m] += 1
            else:
                trial.faults.setdefault(m, Counter())[verdict.fault] += 1
                trial.reasons[m] = verdict.reason
        if assessment.state is None:
            return
        trial.states[assessment.state] += 1
        usable: dict[Modality, Frame] = {}
        for m in assessment.state.available:
            frame = frames[m]
            assert isinstance(frame, Frame)  # or it would not be healthy
            usable[m] = frame
            trial.sizes[m] = frame.image.shape[1], frame.image.shape[0]
            trial.name = trial.name or frame.name
        search(usable, triplet.time)

    def _search(self, usable: Mapping[Modality, Frame], moment: float) -> None:
        trial, began = self._trial, time.monotonic()
        try:
            boxes = list(self._parts.finder(usable, moment))
        except Exception as error:  # an application's, of any kind
            trial.failures.setdefault("boxes", f"{type(error).__name__}: {error}")
            return
        trial.looked += 1
        trial.found += len(boxes)
        trial.most = max(trial.most, len(boxes))
        people = self._cut({m: frame.image for m, frame in usable.items()}, boxes)
        if not people:
            return
        try:
            trial.embedded += len(self._parts.runtime.embed_batch(people[: self._parts.largest]))
        except Exception as error:  # a device's, of any kind
            trial.failures.setdefault("model", f"{type(error).__name__}: {error}")
            return
        trial.spent.append(time.monotonic() - began)
        self._good += len(usable) == len(self._parts.sources)

    def _cut(
        self, pixels: Mapping[Modality, Pixels], boxes: Sequence[Box | None]
    ) -> list[dict[Modality, Pixels]]:
        people = []
        for box in boxes:
            images = crops(pixels, box, self._parts.views)
            if isinstance(images, str):
                self._trial.lost[images] += 1
                self._trial.box = self._trial.box or box
            else:
                people.append(brought_to_8_bits(images, self._parts.ranges))
        return people


def _several(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
