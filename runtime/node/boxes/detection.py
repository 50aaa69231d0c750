"""What a detector says of one person."""

from __future__ import annotations

from dataclasses import dataclass

from denet.graph import Modality
from runtime.node.boxes.box import Box


@dataclass(frozen=True)
class Detection:
    """A person or vehicle that was found.

    Attributes:
        box: where; whose frame's pixels these are, the context says.
        score: of 0 to 1, as the detector gives it: no probability.
        label: class, such as "person".
        modalities: in whose frames it was found, the one that gives box and score first.
    """

    box: Box
    score: float
    label: str
    modalities: tuple[Modality, ...]
