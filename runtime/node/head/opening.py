"""Opens the heads of a node."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from denet.errors import DenetError
from denet.graph import Graph, Modality
from runtime.node.announcer import Announcer, Sighting
from runtime.node.boxes.detector.model import DetectorModel
from runtime.node.boxes.finder import Persons, Surroundings, describe, open_finder
from runtime.node.boxes.homography import Views, read_views
from runtime.node.errors import NodeError
from runtime.node.fair_queue import FairQueue
from runtime.node.faults import FaultSettings, FaultySource, Truth
from runtime.node.head.camera_head import CameraHead
from runtime.node.head.output import HeadOutput
from runtime.node.head.run import HeadParts
from runtime.node.head.settings import HeadSettings
from runtime.node.head.thresholds import limits
from runtime.node.matches import Matches
from runtime.node.notify import Notify
from runtime.node.serving import Serving
from runtime.node.settings import NodeSettings
from runtime.node.sources import Source, open_sources
from runtime.node.stage_items import Crop
from runtime.node.status.strip import PeopleStrip
from runtime.node.tracks.followable import check_followable
from runtime.node.tracks.tracks import Tracks


@dataclass(frozen=True, eq=False)
class LookedAt:
    """A head of which all is known that needs no bundle.

    Attributes:
        settings: of it.
        sources: not used yet.
        views: where a place of the RGB frame is in other modalities.
    """

    settings: HeadSettings
    sources: Mapping[Modality, Source]
    views: Views | None


def look_at_heads(settings: NodeSettings) -> list[LookedAt]:
    """Open what takes no time, to know first whether it can be had.

    Raises:
        DenetError: a source or a calibration cannot be; names it.
    """
    found = []
    for head in settings.camera_heads:
        with naming(head):
            sources = open_sources(head.sources)
            found.append(LookedAt(head, sources, head_views(head)))
    return found


def head_views(head: HeadSettings) -> Views | None:
    """The calibration of a head; None where it has none. Raises: DenetError: it is none."""
    path = head.boxes.calibration
    return None if path is None else read_views(Path(path))


@contextmanager
def naming(head: HeadSettings) -> Iterator[None]:
    """What is wrong with a head that has a name is told with that."""
    try:
        yield
    except DenetError as error:
        place = f"heads.{head.name}"
        if not head.name or str(error).startswith(f"{place}."):
            raise
        raise NodeError(f"{place}: {error}") from None


class HeadOpener:
    """Makes the heads of a node.

    Attributes:
        faults: to be made on purpose, of each head others; None for none.
        notify_truth: told of each fault that is made, and of each frame without one.
        persons: finds persons, or what does by the name of the head.
        strip: keeps pictures of who was seen; None for none.

    Args:
        settings: of the node.
        serving: the first bundle.
        announcer: of the node.
        crops: with a lane for each head.
        matches: told whom the gallery knows.
        notify: told of what happens.
        failed: told which stage of a head without a name a defect ended, and what it was.
    """

    def __init__(
        self,
        settings: NodeSettings,
        serving: Serving,
        announcer: Announcer,
        crops: FairQueue[Crop],
        matches: Matches,
        notify: Notify,
        failed: Callable[[str, BaseException], None],
    ) -> None:
        self._settings, self._serving, self._announcer = settings, serving, announcer
        self._crops, self._matches, self._notify, self._failed = crops, matches, notify, failed
        self._models: dict[bytes, DetectorModel] = {}
        self._count = 0
        self.faults: FaultSettings | None = None
        self.notify_truth: Callable[[Truth], None] = lambda _truth: None
        self.strip: PeopleStrip | None = None
        self.persons: Persons | Mapping[str, Persons] | None = None

    def open(self, looked: LookedAt) -> CameraHead:
        """A head, which does not run yet.

        Raises:
            DenetError: something of it cannot be had; names it.
        """
        with naming(looked.settings):
            return self._opened(looked)

    def _opened(self, looked: LookedAt) -> CameraHead:
        settings, head = self._settings, looked.settings
        name, runtime = head.name, self._serving.runtime
        notify, announcer = self._notify_of(name), self._announcer.of_head(name)
        sources = self._put(self._count)
        ranges = {**runtime.preprocess.ranges, **head.ranges}
        around = Surroundings(
            tuple(m for m in self._serving.graph.modalities if m in looked.sources),
            looked.views,
            ranges,
            settings.model.threads,
            self._models,
            settings.model.engines,
        )
        persons = self.persons
        if isinstance(persons, Mapping):
            names = [each.name for each in settings.camera_heads]
            for unknown in (key for key in persons if key not in names):
                raise NodeError(f"persons: there is no head {unknown!r}, but {', '.join(names)}")
            persons = persons.get(name)
        finder = open_finder(head.boxes, head.timing.tolerance, persons, around)
        check_followable(head, finder)
        for line in describe(finder):
            notify(line)
        output = HeadOutput(
            announcer,
            # Where people are followed, whom the gallery knows in a track is what is shown.
            _ignore if head.tracks is not None else partial(self._matches.add, name),
            None if head.tracks is None else self._tracks(head, announcer, None),
            singly=head.tracks is None or head.tracks.embeddings,
        )
        parts = HeadParts(
            head,
            limits(head, looked.views, runtime.bundle.manifest),
            finder,
            looked.views,
            self._crops.lanes[name],
            announcer,
            notify,
            settings.drain,
        )
        self._count += 1
        return CameraHead(
            parts,
            sources(looked.sources),
            lambda: sources(open_sources(head.sources)),
            output,
            partial(self._tracks, head, announcer),
            lambda: self._matches.counts[name],
            self._failed,
        )

    def _notify_of(self, name: str) -> Notify:
        notify = self._notify
        return (lambda line: notify(f"{name}: {line}")) if name else notify

    def _put(self, number: int) -> Callable[[Mapping[Modality, Source]], dict[Modality, Source]]:
        """Brings the sources of the head of that number into the model's order, with faults."""
        graph: Graph = self._serving.graph
        faults = self.faults
        if faults is not None:
            faults = replace(faults, seed=faults.seed + number)

        def put(given: Mapping[Modality, Source]) -> dict[Modality, Source]:
            found = {m: given[m] for m in graph.modalities if m in given}
            if faults is None:
                return found
            truth = self.notify_truth
            return {m: FaultySource(s, faults, truth, graph) for m, s in found.items()}

        return put

    def _tracks(self, head: HeadSettings, announcer: Announcer, before: Tracks | None) -> Tracks:
        assert head.tracks is not None
        size = self._serving.runtime.bundle.manifest.preprocessing
        pictured: dict[str, Any] = {}
        if self.strip is not None:
            pictured = {
                "notify_pictured": partial(self.strip.add, head.name),
                "notify_corrected": partial(self.strip.correct, head.name),
            }
        return Tracks(
            head.tracks,
            announcer,
            (size.width, size.height),
            self._serving.likenesses.get(head.name),
            self._settings.events.embedding,
            partial(self._matches.add_track, head.name),
            before,
            **pictured,
        )


def _ignore(_sighting: Sighting) -> None:
    pass
