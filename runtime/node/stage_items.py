"""What goes from stage to stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from denet.graph import Modality
from runtime.node.boxes.box import Box
from runtime.node.health import Verdict
from runtime.node.sources.frame import Frame, Pixels


@dataclass(frozen=True, eq=False)
class Moment:
    """The healthy frames of a triplet.

    Attributes:
        time: of the capture: seconds of `time.monotonic()`.
        frames: by modality in the order of the node's, at least one.
        verdicts: one for each sensor of the node.
    """

    time: float
    frames: Mapping[Modality, Frame]
    verdicts: Mapping[Modality, Verdict]


@dataclass(frozen=True)
class Wanted:
    """What a crop of a track is embedded for.

    Attributes:
        tracklet: id of the boxes that it belongs to.
        quality: of the sighting, of 0 to 1.
    """

    tracklet: int
    quality: float


@dataclass(frozen=True, eq=False)
class Crop:
    """One person at a moment.

    Attributes:
        time: of the capture: seconds of `time.monotonic()`.
        images: pixels by modality, at least one: of what is healthy and sees the person.
        box: in the RGB frame; None where the frames were crops.
        verdicts: one for each sensor of the node.
        wanted: what for, where people are followed.
        head: the name of whose it is.
    """

    time: float
    images: Mapping[Modality, Pixels]
    box: Box | None
    verdicts: Mapping[Modality, Verdict]
    wanted: Wanted | None = None
    head: str = ""
