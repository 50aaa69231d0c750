"""A node's stages in lockstep: each moment goes through all of them before the next one comes.

Finders and engines seem to take no time, so nothing is dropped, and what comes out depends on the
recordings and the machine's arithmetic alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from denet.graph import Modality
from runtime.node.announcer import Announcer, Sighting
from runtime.node.backlog import Backlog
from runtime.node.boxes.box import Box
from runtime.node.boxes.finder import Finder
from runtime.node.boxes.homography import Views
from runtime.node.embedder import Embedder
from runtime.node.events import Counters, Event, EventMatch, TrackEvent
from runtime.node.fair_queue import FairQueue
from runtime.node.head.cutter import Cutter
from runtime.node.head.output import HeadOutput
from runtime.node.head.thresholds import limits
from runtime.node.health import Health
from runtime.node.notify import Notify
from runtime.node.serving import Serving
from runtime.node.settings import NodeSettings
from runtime.node.sources import Frame, Notice, Source, Synchronizer
from runtime.node.sources.replay import BEGIN, replayed
from runtime.node.stage import Stage
from runtime.node.stage_items import Crop, Moment
from runtime.node.tracks.correction import Correction
from runtime.node.tracks.settings import TrackSettings
from runtime.node.tracks.tracks import Tracks

ROOM = 1 << 16
"""Crops of one moment, at most: no finder gives so many."""


@dataclass
class BoxRow:
    """One box of somebody.

    Attributes:
        moment: number of it, from 0.
        time: of it in seconds from the beginning.
        track: id of the track, as of `LiveTrack`.
        box: in the RGB frame.
        state: the modalities that show it.
    """

    moment: int
    time: float
    track: str
    box: Box
    state: str


@dataclass(frozen=True)
class Passed:
    """A moment that passed.

    Attributes:
        time: seconds from the beginning.
        state: what was healthy; "" if nothing was.
        faults: what was wrong with the others, by modality.
    """

    time: float
    state: str
    faults: Mapping[Modality, str]


@dataclass
class Followed:
    """All that was seen.

    Attributes:
        moments: in their order.
        rows: boxes of tracks, in the order of their moments.
        names: by track: whom the gallery knows in it, or None, and the anonymous person.
        unused: frames that are in no moment, by modality and reason.
        lost: boxes that were embedded nowhere because something failed, by reason.
        ended: why a recording ended that could not be read to its end.
    """

    moments: list[Passed] = field(default_factory=list)
    rows: list[BoxRow] = field(default_factory=list)
    names: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)
    unused: Counter[tuple[Modality, str]] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    ended: dict[Modality, str] = field(default_factory=dict)

    def correct(self, correction: Correction) -> None:
        """Boxes turned out to be of another track."""
        since = correction.exchanged_since
        for row in self.rows:
            if since is None and row.track == correction.track:
                row.track = correction.other
            elif since is not None and row.time + BEGIN > since:
                if row.track == correction.track:
                    row.track = correction.other
                elif row.track == correction.other:
                    row.track = correction.track


class _Heard:
    """A sink that remembers who was told to be in which track."""

    def __init__(self, names: dict[str, tuple[str | None, str | None]]) -> None:
        self._names = names

    def publish(self, event: Event) -> None:
        if isinstance(event, TrackEvent):
            identity = None if event.match is None else event.match.identity
            self._names[event.track.id] = identity, event.track.person

    def snapshot(self) -> Sequence[Counters]:
        return ()

    @property
    def stages(self) -> Sequence[Stage]:
        return ()

    def close(self, timeout: float = 5.0) -> None:
        pass


def follow(
    settings: NodeSettings,
    serving: Serving,
    finder: Finder,
    views: Views | None,
    sources: Mapping[Modality, Source],
    notify: Notify,
    notify_done: Callable[[int], None] = lambda _count: None,
) -> Followed:
    """Follow everybody through recordings.

    Args:
        settings: of a node of one head; without `tracks`, as by default.
        serving: embeds, and knows the gallery.
        finder: finds persons.
        views: how modalities see the RGB frame.
        sources: recordings that were opened with `replay.FixedStart`.
        notify: told of what happens.
        notify_done: told how many moments are done.
    """
    found = Followed()
    preprocess = serving.runtime.bundle.manifest.preprocessing
    announcer = Announcer(settings.name, _Heard(found.names), "float32", notify)
    moments: Backlog[Moment] = Backlog(1)
    crops: FairQueue[Crop] = FairQueue([""], ROOM)
    tracks = Tracks(
        settings.tracks or TrackSettings(),
        announcer,
        (preprocess.width, preprocess.height),
        serving.likenesses.get(""),
        "float32",
        _ignore,
        notify_corrected=found.correct,
    )
    batches = msgspec.structs.replace(settings.batches, overload="drop", floor=None)
    output = HeadOutput(announcer, _ignore_sighting, tracks, singly=False)
    embedder = Embedder(serving, crops, batches, announcer, notify, {"": output})
    cutter = Cutter(moments, crops.lanes[""], finder, views, _failing(notify), 0.0, tracks)
    (head,) = settings.camera_heads
    health = Health(sources, limits(head, views, serving.runtime.bundle.manifest))
    synchronizer = Synchronizer(sources, settings.timing)
    largest = min(batches.largest, serving.runtime.max_batch)

    def end(modality: Modality, reason: str) -> None:
        found.ended[modality] = reason
        health.hear(Notice(modality, BEGIN, "ended", reason))

    for triplet, now in replayed(sources, synchronizer, end):
        assessment = health.judge(triplet, now)
        announcer.judged(assessment)
        state = assessment.state
        faults = {m: v.fault for m, v in assessment.verdicts.items() if v.fault}
        time = triplet.time - BEGIN
        found.moments.append(Passed(time, "" if state is None else state.name, faults))
        if state is None:
            tracks.wait(triplet.time)
            continue
        frames = {m: triplet.frames[m] for m in state.available}
        healthy = {m: frame for m, frame in frames.items() if isinstance(frame, Frame)}
        moments.put(Moment(triplet.time, healthy, assessment.verdicts))
        for moment in moments.take(1, 0.0) or ():
            cutter.cut(moment)
        while taken := crops.take(largest, 0.0, _at_once):
            embedder.embed(taken)
        found.rows += [
            BoxRow(len(found.moments) - 1, time, track.id, track.box, track.state)
            for track in sorted(tracks.snapshot().tracks, key=lambda each: each.id)
            if track.present and track.box is not None
        ]
        notify_done(len(found.moments))
    tracks.finish()
    found.unused.update({(m, why): n for (m, why), n in synchronizer.dropped.items()})
    for account in (moments.snapshot(), crops.snapshot()):
        found.lost.update({why: n for why, n in account.dropped.items() if why in FAILURES})
    return found


FAILURES = ("no boxes", "not embedded", "sizes differ")
"""Why a box is lost that is no matter of who is where."""


def _ignore(_sighting: Sighting, _match: EventMatch) -> None:
    pass


def _ignore_sighting(_sighting: Sighting) -> None:
    pass


def _at_once(_oldest: Crop) -> float:
    return 0.0


def _failing(notify: Notify) -> Callable[[str], None]:
    return lambda reason: notify(reason or "boxes are found again")
