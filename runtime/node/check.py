"""Looks at everything that a configuration names, before a node is started."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event as Flag
from typing import TypeVar

import msgspec

from denet.errors import DenetError
from denet.graph import Modality
from runtime.gallery import Gallery, open_gallery
from runtime.node.boxes.finder import open_finder
from runtime.node.boxes.homography import read_views
from runtime.node.errors import NodeError
from runtime.node.events import EventSettings, open_sinks
from runtime.node.events.event_file import check_event_file
from runtime.node.metrics import Metrics
from runtime.node.notify import Notify
from runtime.node.serving import first_serving
from runtime.node.settings import NodeSettings
from runtime.node.snapshot import NodeSnapshot
from runtime.node.sources import SourceError, SourceSettings, open_source
from runtime.node.status import StatusPage
from runtime.node.writable import check_outbox, check_writable

T = TypeVar("T")


def check_node(settings: NodeSettings, notify: Notify) -> list[str]:
    """All that is wrong, one line each.

    Cameras are connected to, the bundle is loaded and its golden inputs are run, and it is tried
    whether files can be written. Nothing that is named is changed, made or removed, be it another
    program's or the node's own.

    Args:
        settings: the configuration.
        notify: told of each part that is well, and of what is worth to be known.
    """
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
        for m, wanted in settings.sources.items():
            tried(f"sources.{m}", lambda m=m, wanted=wanted: _first_frame(m, wanted))  # type: ignore[misc]
        boxes = settings.boxes
        tried("boxes", lambda: open_finder(boxes, settings.timing.tolerance))
        if boxes.calibration is not None:
            path = Path(boxes.calibration)
            tried("boxes.calibration", lambda: read_views(path))
        gallery: Gallery | None = None
        if settings.gallery is not None:
            url = settings.gallery.url
            gallery = tried(
                "gallery", lambda: opened.enter_context(open_gallery(url, read_only=True))
            )
        serving = tried("model", lambda: first_serving(settings, gallery))
        if serving is not None:
            opened.callback(serving.runtime.close)
        tried("events", lambda: _try_events(settings, notify))
        if settings.metrics is not None:
            metrics = settings.metrics
            tried("metrics", lambda: Metrics(metrics, _no_snapshot).close())
        if settings.status is not None:
            page = StatusPage(settings.status)
            opened.callback(page.close)
            tried("status", page.start)
    return problems


def _first_frame(modality: Modality, wanted: SourceSettings) -> None:
    source = open_source(modality, wanted)
    with closing(source.frames(Flag())) as frames:
        if next(frames, None) is None:
            raise SourceError(f"{source.name}: gives no frame")


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
