"""What is known of somebody who is in view."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from denet.graph import Modality, State
from runtime.node.announcer import Sighting
from runtime.node.events import EventMatch
from runtime.node.health import Verdict
from runtime.node.tracks.path import Path
from runtime.node.tracks.pooling import Pooled
from runtime.node.tracks.settings import TrackSettings
from runtime.node.tracks.tracker import Tracklet

Available = tuple[Modality, ...]
"""Modalities of a crop, in the order of the node's."""


@dataclass
class Sought:
    """What was asked to be embedded in one state.

    Attributes:
        time: of the last.
        count: how many.
        best: greatest quality.
    """

    time: float
    count: int
    best: float


@dataclass(frozen=True)
class BestCrop:
    """A picture of somebody.

    Attributes:
        weight: of the sighting.
        time: of its capture.
        state: in which it was embedded.
        pictures: JPEG by modality.
    """

    weight: float
    time: float
    state: State
    pictures: Mapping[Modality, bytes]


@dataclass(eq=False)
class LiveTrack:
    """One person, from the first box to the last.

    Attributes:
        id: of the track.
        tracklet: where the person is.
        path: where the person was.
        began: time of the first box.
        boxes: how many.
        person: anonymous id; None before the first embedding.
        settled: whether the person was recognized as somebody who was here before.
        match: whom the gallery knows in it, by all that is pooled now.
        identity: whom it was told to know last.
        pooled: embeddings; None before the first.
        last: the last sighting that was embedded.
        states: of all boxes, in the order they came, as modalities.
        state: of the last box, as modalities; empty before it is known.
        sought: by state: what was asked to be embedded.
        crops: the best, the best first.
        told: time of the last event; None before `started`.
        verdicts: of the last moment.
    """

    id: str
    tracklet: Tracklet
    path: Path
    began: float
    boxes: int = 0
    person: str | None = None
    settled: bool = False
    match: EventMatch | None = None
    identity: str | None = None
    pooled: Pooled | None = None
    last: Sighting | None = None
    states: dict[Available, None] = field(default_factory=dict)
    state: Available = ()
    sought: dict[Available, Sought] = field(default_factory=dict)
    crops: list[BestCrop] = field(default_factory=list)
    told: float | None = None
    verdicts: Mapping[Modality, Verdict] = field(default_factory=dict)

    def may_add(self, time: float, available: Available, settings: TrackSettings) -> bool:
        """Whether a sighting of the best quality would say something: cheap to know."""
        return self.adds(time, available, 1.0, settings)

    def adds(
        self, time: float, available: Available, quality: float, settings: TrackSettings
    ) -> bool:
        """Whether a sighting says something that those before it have not: it is the first in its
        state, the last in this state is long ago, or it is much better than all before it."""
        sought = self.sought.get(available)
        if sought is None:
            return True
        late = time - sought.time >= settings.every * sought.count
        return late or quality >= settings.rise * sought.best

    def seek(self, time: float, available: Available, quality: float) -> None:
        """A sighting is asked to be embedded."""
        before = self.sought.get(available, Sought(time, 0, 0.0))
        self.sought[available] = Sought(time, before.count + 1, max(before.best, quality))

    def take_over(self, rest: LiveTrack) -> None:
        """Go on where another track is, which turned out to be the rest of this one."""
        self.tracklet, self.verdicts, self.last = rest.tracklet, rest.verdicts, rest.last
        self.boxes += rest.boxes
        self.path.extend(rest.path.places)
        self.states |= rest.states
        self.state = rest.state
        if self.pooled is not None and rest.pooled is not None:
            self.pooled.merge(rest.pooled)

    def keep(self, crop: BestCrop, most: int) -> None:
        """Keep a picture, if it is one of the best."""
        self.crops = sorted([*self.crops, crop], key=lambda each: -each.weight)[:most]


def new_id(kind: str) -> str:
    """An id that is given once: "track-9f2c41ab07"."""
    return f"{kind}-{secrets.token_hex(5)}"
