"""Pairs of points of people who walk where two cameras see them: feet and heads of their boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from denet.graph import Modality
from denet.pixels import Range
from runtime.node.align.direct import errors
from runtime.node.align.fit import fit
from runtime.node.align.points import Place
from runtime.node.boxes.box import Box
from runtime.node.boxes.finder import Finder, Surroundings, open_finder
from runtime.node.boxes.homography import REFERENCE
from runtime.node.boxes.motion.settings import MotionSettings
from runtime.node.boxes.settings import BoxSettings
from runtime.node.errors import NodeError
from runtime.node.sources import Frame

TOGETHER = 3
"""People in both frames, at most, who are taken for one another from left to right at first."""

MOST_MOMENTS = 300
"""With somebody in both frames, that are taken: spread over all that there were."""

BORDER = 0.01
"""Share of a frame's size: a box so near to its border is cut by it."""

SOME = 0.2
"""Share of the first pairs that must agree: they are taken together without knowing who is who."""

Sides = tuple[Sequence[Box], Sequence[Box]]
"""Boxes of one moment in the RGB frame, and in the other."""


@dataclass
class People:
    """Looks for people in each camera's frames by itself, since it is not known yet where one is in
    the other.

    Args:
        finders: by modality, each of that modality alone.
    """

    finders: Mapping[Modality, Finder]
    moments: list[dict[Modality, list[Box]]] = field(default_factory=list)

    def look(self, frames: Mapping[Modality, Frame], time: float) -> None:
        """Take the frames of a moment in; moments come in order."""
        found = {
            m: _whole(self.finders[m]({m: frame}, time), frame)
            for m, frame in frames.items()
            if m in self.finders
        }
        if found.get(REFERENCE) and len([m for m in found if found[m]]) > 1:
            self.moments.append(found)

    def pairs(self, modality: Modality, limit: float) -> list[tuple[Place, Place]]:
        """Feet and heads of the same people in both frames.

        At first people are paired from left to right, where as many are in both frames; what most
        of these agree on then says who is who, in all moments.

        Args:
            modality: of the other frame.
            limit: pixels by which feet and heads may be off.

        Raises:
            NodeError: too few were seen in both, or the first pairs agree on nothing.
        """
        both: list[Sides] = [
            (each[REFERENCE], each[modality])
            for each in self.moments
            if each.get(REFERENCE) and each.get(modality)
        ]
        both = _spread(both, MOST_MOMENTS)
        first = [
            pair
            for here, there in both
            if len(here) == len(there) <= TOGETHER
            for pair in zip(_from_left(here), _from_left(there), strict=True)
        ]
        guess = fit(*_arrays(first), limit, SOME)
        pairs = [pair for sides in both for pair in _same(sides, guess.matrix, 1.5 * guess.limit)]
        return _places(pairs)


def people_finders(
    boxes: BoxSettings, modalities: Sequence[Modality], ranges: Mapping[Modality, Range]
) -> dict[Modality, Finder]:
    """What finds people in the frames of each modality alone: the node's detector if it has one, or
    what moves.

    Raises:
        NodeError: the detector cannot be had.
    """
    found = {}
    for m in modalities:
        if boxes.detector is not None:
            own = {n: each for n, each in boxes.detector.own.items() if n == m}
            detector = msgspec.structs.replace(boxes.detector, modalities=None, own=own, interval=1)
            alone = BoxSettings(detector=detector)
        else:
            motion = boxes.motion or MotionSettings()
            # Feet may be colder than the ground, and belong to the box.
            motion = msgspec.structs.replace(motion, modalities=None, warm=())
            alone = BoxSettings(motion=motion)
        found[m] = open_finder(alone, 0.0, around=Surroundings((m,), None, ranges))
    return found


def _whole(boxes: Sequence[Box | None], frame: Frame) -> list[Box]:
    """Boxes that the border of the frame does not cut: else feet or head are elsewhere."""
    height, width = frame.image.shape[:2]
    edge = BORDER * max(width, height)
    return [
        box
        for box in boxes
        if box is not None
        and box.left > edge
        and box.top > edge
        and box.right < width - edge
        and box.bottom < height - edge
    ]


def _from_left(boxes: Sequence[Box]) -> list[Box]:
    return sorted(boxes, key=lambda box: box.left + box.right)


def _ends(box: Box) -> tuple[Place, Place]:
    """Where somebody stands, and the top of the head."""
    x = (box.left + box.right) / 2
    return (x, box.bottom), (x, box.top)


def _places(pairs: Sequence[tuple[Box, Box]]) -> list[tuple[Place, Place]]:
    return [ends for here, there in pairs for ends in zip(_ends(here), _ends(there), strict=True)]


def _arrays(pairs: Sequence[tuple[Box, Box]]) -> tuple[np.ndarray, np.ndarray]:
    if not pairs:
        raise NodeError(
            "nobody was seen by both cameras at once, as a whole: have people walk where both see "
            "them, nearer and farther, for a minute"
        )
    found = np.array(_places(pairs), float)
    return found[:, 0], found[:, 1]


def _same(sides: Sides, matrix: np.ndarray, limit: float) -> list[tuple[Box, Box]]:
    """Who of the one frame is who of the other: each is the nearest of the other, feet and head."""
    here, there = sides
    off = np.array([[_apart(matrix, a, b) for b in there] for a in here])
    pairs = []
    for i, row in enumerate(off):
        j = int(row.argmin())
        if int(off[:, j].argmin()) == i and row[j] <= limit:
            pairs.append((here[i], there[j]))
    return pairs


def _apart(matrix: np.ndarray, here: Box, there: Box) -> float:
    source, target = np.array(_ends(here)), np.array(_ends(there))
    return float(errors(matrix, source, target).max())


def _spread(moments: Sequence[Sides], most: int) -> list[Sides]:
    """At most so many, evenly from all."""
    chosen = np.unique(np.linspace(0, len(moments) - 1, most).round().astype(int))
    return [moments[i] for i in chosen] if len(moments) > most else list(moments)
