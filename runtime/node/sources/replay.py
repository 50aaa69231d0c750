"""Recordings without a clock of their own: every frame, as fast as they are worked on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import ExitStack, closing
from heapq import merge

from denet.graph import Modality
from runtime.node.sources.base import Source
from runtime.node.sources.film import FilmSource
from runtime.node.sources.folder import FolderSource
from runtime.node.sources.frame import Item, SourceError
from runtime.node.sources.pace import Start
from runtime.node.sources.synchronizer import Synchronizer
from runtime.node.sources.track import TrackTiming
from runtime.node.sources.triplet import Triplet

BEGIN = float(1 << 30)
"""Seconds of the monotonic clock at which they begin: so late that no machine is too slow for a
frame; and always the same, for times to be the same, to the bit, whenever they are replayed."""


class FixedStart(Start):
    """Recordings that begin at `BEGIN`."""

    def time(self) -> float:
        """See `Start.time`."""
        return BEGIN


class Hurry(threading.Event):
    """Asks a recording never to wait."""

    def wait(self, timeout: float | None = None) -> bool:  # noqa: ARG002 - never taken
        """Whether it is to end."""
        return self.is_set()


def pace_of(source: Source) -> float | None:
    """Frames a second of a recording, on average; None of a camera."""
    if isinstance(source, FolderSource):
        return source.recording.rate
    return source.pace if isinstance(source, FilmSource) else None


def loose_timing(sources: Iterable[Source]) -> TrackTiming:
    """How frames of recordings are matched that nobody triggered together: with the nearest, so by
    up to half the period of the slowest."""
    slowest = min((pace for source in sources if (pace := pace_of(source))), default=25.0)
    usual = TrackTiming()
    return TrackTiming(
        tolerance=max(usual.tolerance, 0.5 / slowest), patience=max(usual.patience, 3 / slowest)
    )


def replayed(
    sources: Mapping[Modality, Source],
    synchronizer: Synchronizer,
    notify_end: Callable[[Modality, str], None] = lambda _modality, _reason: None,
) -> Generator[tuple[Triplet, float], None, None]:
    """The triplets of recordings, each with the time at which it is given out: that of the frame
    which came last. What comes out depends on the recordings alone.

    Args:
        sources: recordings, which are opened with `FixedStart` or begin later than now.
        synchronizer: new, of these modalities.
        notify_end: told of one that cannot be read to its end, and why.
    """
    stop, now = Hurry(), 0.0
    tolerance, first = synchronizer.timing.tolerance, None

    def read(source: Source) -> Generator[Item, None, None]:
        try:
            yield from source.frames(stop)
        except SourceError as error:
            notify_end(source.modality, str(error))

    with ExitStack() as opened:
        streams = [opened.enter_context(closing(read(source))) for source in sources.values()]
        for item in merge(*streams, key=lambda item: item.time):
            # A sensor that nobody waits for, since it was silent, may be back in this very moment.
            if first is not None and item.time > first + tolerance:
                for triplet in synchronizer.poll(now):
                    yield triplet, now
                first = None
            first = item.time if first is None else first
            now = item.time
            synchronizer.push(item, now)
        for triplet in synchronizer.flush(now):
            yield triplet, now
