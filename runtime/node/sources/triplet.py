"""What the sensors saw at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from denet.graph import Modality
from runtime.node.sources.frame import Item

Want = Literal["absent", "stale", "out of step"]
"""Why a modality has no frame in a triplet:

- absent: none came.
- stale: they come, but so long after their capture that the others have gone on.
- out of step: they come in time, but were captured between the moments of the others.
"""


@dataclass(frozen=True)
class Absence:
    """A modality has no frame in a triplet; `reason` is for a person."""

    kind: Want
    reason: str


@dataclass(frozen=True, eq=False)
class Triplet:
    """Frames that were captured at one moment, within the tolerance.

    Attributes:
        time: when the earliest of them was captured: seconds of `time.monotonic()`.
        frames: by modality. A frame of a slow sensor may be in several triplets.
        absent: the other modalities, each with the reason.
    """

    time: float
    frames: Mapping[Modality, Item]
    absent: Mapping[Modality, Absence]
