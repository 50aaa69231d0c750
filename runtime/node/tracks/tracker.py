"""Boxes of one moment after the other become tracklets: who is where, by motion alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.node.boxes.box import Box
from runtime.node.boxes.detection import Detection
from runtime.node.boxes.overlap import overlaps
from runtime.node.tracks.assignment import FORBIDDEN, assign
from runtime.node.tracks.motion import Motion
from runtime.node.tracks.settings import TrackSettings

WEAK_OVERLAP = 0.5
"""Least overlap of a weak detection with a track, as in ByteTrack: weak ones are rarely right."""


@dataclass(eq=False)
class Tracklet:
    """Boxes that follow one another.

    Attributes:
        id: of it; none is used twice.
        label: class of what is followed.
        motion: where it is, and where it will be.
        box: the last.
        began, seen: times of the first and the last box.
        hits: how many boxes.
        confirmed: whether there were enough.
        present: whether it had a box at the last moment.
    """

    id: int
    label: str
    motion: Motion
    box: Box
    began: float
    seen: float
    hits: int = 1
    confirmed: bool = False
    present: bool = True


class Tracker:
    """Association after ByteTrack (Zhang et al., "ByteTrack: Multi-Object Tracking by Associating
    Every Detection Box", ECCV 2022): strong detections go to the tracklets that they overlap most,
    in all; what is left of those in view is continued by weak ones; what is left of the strong
    ones begins tracklets, which count when the next moments confirm them.

    Attributes:
        tracklets: those that are alive.
        begun: how many there were.
        unconfirmed: how many of them were never confirmed, and are gone.
        last: the id that was given last.

    Args:
        settings: the configuration.
        last: the id that was given last before.
    """

    def __init__(self, settings: TrackSettings, last: int = 0) -> None:
        self.tracklets: list[Tracklet] = []
        self._settings = settings
        self._time: float | None = None
        self.begun = self.unconfirmed = 0
        self.last = last

    def update(self, time: float, found: Sequence[Detection]) -> list[Tracklet | None]:
        """The tracklet of each detection of a moment; None for one that has none.

        Args:
            time: of the moment, in seconds; moments come in order.
            found: detections.
        """
        passed = 0.0 if self._time is None else max(0.0, time - self._time)
        self._time = time
        for tracklet in self.tracklets:
            tracklet.motion.predict(passed, seen=tracklet.present)
        owners: list[Tracklet | None] = [None] * len(found)
        least = self._settings.overlap
        strong = [i for i, each in enumerate(found) if each.score >= self._settings.score]
        weak = [i for i, each in enumerate(found) if each.score < self._settings.score]
        waiting = [t for t in self.tracklets if t.confirmed]
        for those, lost_too, overlap in (
            (strong, True, least),
            (weak, False, max(WEAK_OVERLAP, least)),
        ):
            candidates = [t for t in waiting if lost_too or t.present]
            for i, tracklet in _matched(found, those, candidates, overlap):
                owners[i] = tracklet
                waiting.remove(tracklet)
        fresh = [t for t in self.tracklets if not t.confirmed]
        for i, tracklet in _matched(found, [i for i in strong if owners[i] is None], fresh, least):
            owners[i] = tracklet
        for i in strong:
            if owners[i] is None and len(self.tracklets) < self._settings.most:
                owners[i] = self._begin(time, found[i])
        self._settle(time, found, owners)
        return owners

    def remove(self, tracklet: Tracklet) -> None:
        """Follow it no more."""
        self.tracklets.remove(tracklet)

    def forget_unconfirmed(self) -> None:
        """Nothing will confirm them any more."""
        self._keep([t for t in self.tracklets if t.confirmed])

    def _begin(self, time: float, detection: Detection) -> Tracklet:
        box = detection.box
        self.begun += 1
        self.last += 1
        begun = Tracklet(self.last, detection.label, Motion(box), box, time, time, hits=0)
        self.tracklets.append(begun)
        return begun

    def _settle(
        self, time: float, found: Sequence[Detection], owners: Sequence[Tracklet | None]
    ) -> None:
        seen = {id(owner) for owner in owners if owner is not None}
        for tracklet in self.tracklets:
            tracklet.present = id(tracklet) in seen
        for detection, owner in zip(found, owners, strict=True):
            if owner is not None:
                if owner.hits:
                    owner.motion.update(detection.box)
                owner.box, owner.seen = detection.box, time
                owner.hits += 1
                owner.confirmed |= owner.hits >= self._settings.confirm
        self._keep([t for t in self.tracklets if t.present or t.confirmed])

    def _keep(self, tracklets: list[Tracklet]) -> None:
        self.unconfirmed += len(self.tracklets) - len(tracklets)
        self.tracklets = tracklets


def _matched(
    found: Sequence[Detection], those: Sequence[int], tracklets: Sequence[Tracklet], least: float
) -> Iterable[tuple[int, Tracklet]]:
    """Which of `those` detections continues which tracklet."""
    if not those or not tracklets:
        return []
    costs = np.array([_costs(found[i], tracklets, least) for i in those])
    return [(those[row], tracklets[column]) for row, column in assign(costs)]


def _costs(
    detection: Detection, tracklets: Sequence[Tracklet], least: float
) -> NDArray[np.float64]:
    expected = np.array([tracklet.motion.corners for tracklet in tracklets])
    shares = overlaps(corners(detection.box), expected)
    other = np.array([tracklet.label != detection.label for tracklet in tracklets])
    return np.where(other | (shares < least), FORBIDDEN, 1.0 - shares)


def corners(box: Box) -> NDArray[np.float64]:
    """(4,) left, top, right and bottom."""
    return np.array([box.left, box.top, box.right, box.bottom])
