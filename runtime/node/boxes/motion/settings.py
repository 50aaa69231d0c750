"""What `[boxes.motion]` of a node's configuration says."""

from __future__ import annotations

from typing import Annotated

import msgspec

from denet.graph import Modality

Seconds = Annotated[float, msgspec.Meta(gt=0)]
Levels = Annotated[float, msgspec.Meta(gt=0, le=255)]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
Pixels = Annotated[float, msgspec.Meta(ge=0)]


class MotionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What counts as a person that moves.

    Attributes:
        modalities: in whose frames it is looked for; None for all that the node has.
        warm: modalities in which persons are brighter than what is behind them; what is darker does
            not count there. Empty for a thermal camera that shows warm as dark.
        contrast: levels of 0 to 255 by which a person differs from what is behind, at least.
        memory: seconds in which the background is forgotten: who stands still for that long belongs
            to it.
        learning: seconds at the beginning, and after each change of the whole scene, in which
            the background is learned and nobody is found.
        smallest: (width, height) that a box must have at least, in pixels of the frame in which
            it is found.
        fusion: least intersection over union, in the RGB frame, of the boxes that two sensors give
            of one person.
    """

    modalities: tuple[Modality, ...] | None = None
    warm: tuple[Modality, ...] = ("tir",)
    contrast: Levels = 12.0
    memory: Seconds = 30.0
    learning: Seconds = 2.0
    smallest: tuple[Pixels, Pixels] = (8.0, 16.0)
    fusion: Share = 0.3
