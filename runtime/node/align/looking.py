"""The frames by which cameras are brought together: of recordings all, of cameras as they come."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack

import msgspec

from denet.graph import Modality
from runtime.node.errors import NodeError
from runtime.node.sources import (
    Feed,
    Frame,
    Inbox,
    Notice,
    Source,
    SourceSettings,
    Synchronizer,
    TrackTiming,
    Triplet,
    open_sources,
)
from runtime.node.sources.replay import FixedStart, loose_timing, replayed
from runtime.node.stage import POLL

PATIENCE = 10.0
"""Seconds to wait for the first frame of a camera, and for its thread to end."""

Moment = tuple[Mapping[Modality, Frame], float]
"""The frames of a moment, and its time in seconds."""


def moments(
    settings: Mapping[Modality, SourceSettings], timing: TrackTiming | None, seconds: float | None
) -> Iterator[Moment]:
    """What the cameras see, moment for moment.

    Args:
        settings: where frames come from. Recordings begin once, whatever they say of loops.
        timing: how frames are matched; None for what suits the recordings.
        seconds: of them, at most; None for all of a recording, or until nobody asks any more.

    Raises:
        NodeError: no frame came.
        SourceError: a source cannot be had.
    """
    once = {m: _once(wanted) for m, wanted in settings.items()}
    sources = open_sources(once, FixedStart())
    timing = timing or loose_timing(sources.values())
    live = [source.live for source in sources.values()]
    if all(live):
        found = _watched(sources, timing, seconds)
    elif any(live):
        raise NodeError(
            "sources: cameras and recordings show no moment together: name either of them alone"
        )
    else:
        found = replayed(sources, Synchronizer(sources, timing))
    first: float | None = None
    for triplet, _ in found:
        frames = {m: item for m, item in triplet.frames.items() if isinstance(item, Frame)}
        if not frames:
            continue
        first = triplet.time if first is None else first
        if seconds is not None and triplet.time > first + seconds:
            break
        yield frames, triplet.time
    if first is None:
        names = ", ".join(source.name for source in sources.values())
        raise NodeError(f"{names}: no frame came: see `denet node check`")


def _once(wanted: SourceSettings) -> SourceSettings:
    return msgspec.structs.replace(wanted, loop=False)


def _watched(
    sources: Mapping[Modality, Source], timing: TrackTiming, seconds: float | None
) -> Iterator[tuple[Triplet, float]]:
    inbox, synchronizer = Inbox(sources), Synchronizer(sources, timing)
    began, running = time.monotonic(), set(sources)
    came = False
    with ExitStack() as started:
        for source in sources.values():
            feed = Feed(source, inbox)
            started.callback(feed.join, PATIENCE)
            started.callback(feed.stop)
            feed.start()
        while running:
            inbox.wait(POLL)
            for item in inbox.take(0.0):
                if isinstance(item, Notice):
                    if item.stage in ("ended", "failed"):
                        running.discard(item.modality)
                else:
                    came = True
                    synchronizer.push(item, time.monotonic())
            now = time.monotonic()
            for triplet in synchronizer.poll(now):
                yield triplet, now
            late = now - began - (PATIENCE if not came else 2 * PATIENCE + (seconds or now))
            if late > 0:
                return
