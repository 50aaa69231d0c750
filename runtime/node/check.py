"""Looks at everything that a configuration names, before a node is started."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event as Flag
from typing import Protocol, TypeVar

import msgspec
import numpy as np

from denet.errors import DenetError
from denet.graph import Modality
from denet.pixels import range_misfit
from runtime.gallery import Gallery, open_gallery
from runtime.node.boxes.detector.model import DetectorModel
from runtime.node.boxes.finder import Finder, Surroundings, describe, open_finder
from runtime.node.boxes.homography import Views
from runtime.node.diagnosis import STEPS, problems_of, remarks_of
from runtime.node.errors import NodeError
from runtime.node.events import EventSettings, open_sinks
from runtime.node.events.event_file import check_event_file
from runtime.node.head.opening import head_views
from runtime.node.head.settings import HeadSettings
from runtime.node.head.thresholds import limits
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
from runtime.node.tracks.followable import check_followable
from runtime.node.trial import Parts, try_whole
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
        models: dict[bytes, DetectorModel] = {}
        looked = [_look(head, settings, models, tried, notify) for head in settings.camera_heads]
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
            for found in looked:
                for m, frame in found.first.items():
                    _check_range(m, frame, found.head, serving.runtime, problems, notify)
        if serving is not None and not problems:
            for found in looked:
                problems += _tried_whole(settings, serving, found, seconds, notify, empty=empty)
        tried("events", lambda: _try_events(settings, notify))
        if settings.metrics is not None:
            metrics = settings.metrics
            tried("metrics", lambda: Metrics(metrics, _no_snapshot).close())
        if settings.status is not None:
            page = StatusPage(settings.status)
            opened.callback(page.close)
            tried("status", page.start)
    return problems


@dataclass
class _Looked:
    """What could be opened of a head."""

    head: HeadSettings
    first: dict[Modality, Frame] = field(default_factory=dict)
    views: Views | None = None
    finder: Finder | None = None


class _Tried(Protocol):
    def __call__(self, part: str, attempt: Callable[[], T]) -> T | None: ...


def _look(
    head: HeadSettings,
    settings: NodeSettings,
    models: dict[bytes, DetectorModel],
    tried: _Tried,
    notify: Notify,
) -> _Looked:
    """Open everything that a head names."""
    found = _Looked(head)
    for m, wanted in head.sources.items():
        look = partial(_first_frame, m, wanted)
        if (frame := tried(head.key(f"sources.{m}"), look)) is not None:
            found.first[m] = frame
    if head.boxes.calibration is not None:
        found.views = tried(head.key("boxes.calibration"), lambda: head_views(head))
    around = Surroundings(
        tuple(head.sources),
        found.views,
        head.ranges,
        settings.model.threads,
        models,
        settings.model.engines,
    )
    open_it = partial(open_finder, head.boxes, head.timing.tolerance, around=around)
    finder = found.finder = tried(head.key("boxes"), open_it)
    for line in describe(finder) if finder is not None else ():
        notify(_placed(head, line))
    if head.tracks is not None and finder is not None:
        tried(head.key("tracks"), partial(check_followable, head, finder))
    return found


def _tried_whole(
    settings: NodeSettings,
    serving: Serving,
    found: _Looked,
    seconds: float,
    notify: Notify,
    *,
    empty: bool,
) -> list[str]:
    """Run all of a head on real frames; what is wrong with what came out."""
    head, finder = found.head, found.finder
    assert finder is not None  # or there was a problem before
    given, graph = open_sources(head.sources), serving.graph
    if not any(source.live for source in given.values()):
        # They begin so late that no machine is too slow for a frame; they are not waited for.
        given = open_sources(head.sources, Start(AHEAD))
    trial = try_whole(
        Parts(
            {m: given[m] for m in graph.modalities if m in given},
            head.timing,
            limits(head, found.views, serving.runtime.bundle.manifest),
            finder,
            found.views,
            serving.runtime,
            settings.batches.largest,
            head.ranges if head.name else {},
        ),
        seconds,
    )
    wrong = problems_of(trial, head, empty=empty)
    for line in [*remarks_of(trial), *([] if wrong else [trial.line()])]:
        notify(_placed(head, f"trial: {line}"))
    return [_placed(head, each) for each in wrong]


def _placed(head: HeadSettings, line: str) -> str:
    return f"heads.{head.name}: {line}" if head.name else line


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
    head: HeadSettings,
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
    key, said = head.key(f"sources.{modality}"), head.ranges.get(modality)
    misfit = range_misfit(frame.image, said or runtime.preprocess.ranges[modality])
    if misfit is not None and said is not None:
        notify(f"{key}.range: {misfit}")
    elif misfit is not None:
        problems.append(
            f"{key}: {misfit}, which is the bundle's: say which are black and white "
            f"of this sensor: {key}.range"
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
