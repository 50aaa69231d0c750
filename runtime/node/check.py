"""Looks at everything that a configuration names, before a node is started."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event as Flag
from typing import TypeVar

import msgspec
import numpy as np

from denet.errors import DenetError
from denet.graph import Modality
from denet.pixels import range_misfit
from runtime.gallery import Gallery, open_gallery
from runtime.node.boxes.finder import Finder, Surroundings, describe, open_finder
from runtime.node.boxes.homography import Views, read_views
from runtime.node.diagnosis import STEPS, problems_of, remarks_of
from runtime.node.errors import NodeError
from runtime.node.events import EventSettings, open_sinks
from runtime.node.events.event_file import check_event_file
from runtime.node.metrics import Metrics
from runtime.node.notify import Notify
from runtime.node.serving import Embeds, Serving, first_serving
from runtime.node.settings import NodeSettings
from runtime.node.snapshot import NodeSnapshot
from runtime.node.sources import (
    Frame,
    SourceError,
    SourceSettings,
    open_source,
    open_sources,
)
from runtime.node.sources.pace import Start
from runtime.node.status import StatusPage
from runtime.node.thresholds import limits
from runtime.node.tracks.followable import check_followable
from runtime.node.trial import Parts, Trial, try_whole
from runtime.node.writable import check_outbox, check_writable

T = TypeVar("T")

DAMAGED = {False: 3, True: 250}
"""Pictures that may be damaged before one is not, of a recording and of a camera: a stream may be
joined in the middle, and has a key frame every 10 s."""


AHEAD = 1e6
"""Seconds from now to the beginning of recordings that are tried."""

SECONDS = 5.0
"""Of real frames."""


def check_node(
    settings: NodeSettings, notify: Notify, *, seconds: float = SECONDS, empty: bool = False
) -> list[str]:
    """All that is wrong, one line each.

    Cameras are connected to, the bundle is loaded and its golden inputs are run, and it is tried
    whether files can be written. If all of that is well, some seconds of real frames go through
    health, boxes, views and engines. Nothing that is named is changed, made or removed, be it
    another program's or the node's own.

    Args:
        settings: the configuration.
        notify: told of each part that is well, and of what is worth to be known.
        seconds: of real frames, at most.
        empty: it is no problem that nobody is in them.
    """
    with _no_bytecode():
        return _problems(settings, notify, seconds, empty=empty)


def _problems(settings: NodeSettings, notify: Notify, seconds: float, *, empty: bool) -> list[str]:
    problems: list[str] = []

    def tried(part: str, attempt: Callable[[], T]) -> T | None:
        try:
            found = attempt()
        except DenetError as error:
            named = str(error).startswith(part)
            problems.append(str(error) if named else f"{part}: {error}")
            return None
        notify(part)
        return found

    with ExitStack() as opened:
        first: dict[Modality, Frame] = {}
        for m, wanted in settings.sources.items():
            look = partial(_first_frame, m, wanted)
            if (found := tried(f"sources.{m}", look)) is not None:
                first[m] = found
        boxes = settings.boxes
        views: Views | None = None
        if boxes.calibration is not None:
            path = Path(boxes.calibration)
            views = tried("boxes.calibration", lambda: read_views(path))
        threads = settings.model.threads
        around = Surroundings(tuple(settings.sources), views, settings.ranges, threads)
        finder = tried(
            "boxes", lambda: open_finder(boxes, settings.timing.tolerance, around=around)
        )
        for line in describe(finder) if finder is not None else ():
            notify(line)
        if settings.tracks is not None and finder is not None:
            tried("tracks", lambda: check_followable(settings, finder))
        gallery: Gallery | None = None
        if settings.gallery is not None:
            url = settings.gallery.url
            gallery = tried(
                "gallery", lambda: opened.enter_context(open_gallery(url, read_only=True))
            )
        serving = tried("model", lambda: first_serving(settings, gallery))
        if serving is not None:
            opened.callback(serving.close)
            if serving.away:
                problems.append(f"model.server: {serving.away}")
            for m, frame in first.items():
                _check_range(m, frame, settings, serving.runtime, problems, notify)
        if serving is not None and finder is not None and not problems:
            trial = _try_whole(settings, serving, finder, views, seconds)
            problems += (wrong := problems_of(trial, settings, empty=empty))
            for line in [*remarks_of(trial), *([] if wrong else [trial.line()])]:
                notify(f"trial: {line}")
        tried("events", lambda: _try_events(settings, notify))
        if settings.metrics is not None:
            metrics = settings.metrics
            tried("metrics", lambda: Metrics(metrics, _no_snapshot).close())
        if settings.status is not None:
            page = StatusPage(settings.status)
            opened.callback(page.close)
            tried("status", page.start)
    return problems


def _try_whole(
    settings: NodeSettings, serving: Serving, finder: Finder, views: Views | None, seconds: float
) -> Trial:
    """Run all of it on real frames."""
    given, graph = open_sources(settings.sources), serving.graph
    if not any(source.live for source in given.values()):
        # They begin so late that no machine is too slow for a frame; they are not waited for.
        given = open_sources(settings.sources, Start(AHEAD))
    parts = Parts(
        {m: given[m] for m in graph.modalities if m in given},
        settings.timing,
        limits(settings, views, serving.runtime.bundle.manifest),
        finder,
        views,
        serving.runtime,
        settings.batches.largest,
    )
    return try_whole(parts, seconds)


@contextmanager
def _no_bytecode() -> Iterator[None]:
    """A function of `boxes.call` leaves no compiled copy beside it."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def _first_frame(modality: Modality, wanted: SourceSettings) -> Frame:
    source = open_source(modality, wanted)
    reason = "gives no frame: see that it sends"
    with closing(source.frames(Flag())) as frames:
        for item in islice(frames, DAMAGED[source.live]):
            if isinstance(item, Frame):
                return item
            reason = f"{item.reason}: {STEPS['undecodable']}"
    raise SourceError(f"{source.name}: {reason}")


def _check_range(
    modality: Modality,
    frame: Frame,
    settings: NodeSettings,
    runtime: Embeds,
    problems: list[str],
    notify: Notify,
) -> None:
    """See that 16-bit pixels use enough of their range to be told apart.

    One picture of an empty scene uses little of any range: where somebody has said it, this is only
    told.
    """
    if frame.image.dtype != np.uint16:
        return
    misfit = range_misfit(frame.image, runtime.preprocess.ranges[modality])
    if misfit is not None and modality in settings.ranges:
        notify(f"sources.{modality}.range: {misfit}")
    elif misfit is not None:
        problems.append(
            f"sources.{modality}: {misfit}, which is the bundle's: say which are black and white "
            f"of this sensor: sources.{modality}.range"
        )


def _try_events(settings: NodeSettings, notify: Notify) -> None:
    events = settings.events
    check_writable(events)
    if events.lines is not None:
        check_event_file(events.lines)
    if events.mqtt is not None:
        check_outbox(Path(events.mqtt.outbox))
        # What waits in the outbox stays there: the broker is tried with one that is empty.
        with TemporaryDirectory() as folder:
            mqtt = msgspec.structs.replace(events.mqtt, outbox=str(Path(folder) / "outbox.db"))
            open_sinks(EventSettings(mqtt=mqtt), settings.name, notify).close(0.0)


def _no_snapshot() -> NodeSnapshot:
    raise NodeError("the node does not run")
