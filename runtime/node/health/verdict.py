"""What is said of a sensor, and of all of them together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from denet.graph import Modality, State

Fault = Literal[
    "absent",
    "stale",
    "out of step",
    "undecodable",
    "size",
    "channels",
    "black",
    "saturated",
    "uniform",
    "range",
    "torn",
    "frozen",
    "looping",
]
"""What can be wrong with a sensor:

- absent, stale, out of step: no frame for this moment; see `sources.triplet.Want`. Stale is
  also a frame that came in time for the others, and too old for all.
- undecodable: its data is damaged.
- size, channels: another size; grey where there was colour or the other way round, or other bits.
- black, saturated, uniform: a picture that shows nothing.
- range: 16-bit pixels that use next to nothing of the range that is said to be theirs.
- torn: a part of it is of another frame, was never filled, or is shifted sideways.
- frozen, looping: it shows an earlier picture, or earlier pictures in their order, once more.
"""

FAULTS: tuple[Fault, ...] = get_args(Fault)


@dataclass(frozen=True)
class Finding:
    """A fault of one frame, and how it shows."""

    fault: Fault
    reason: str


@dataclass(frozen=True)
class Verdict:
    """Whether a sensor may be used at a moment.

    Attributes:
        modality: the sensor.
        fault: what is wrong with it, or was until just now; None if it is healthy.
        reason: how that shows, for a person; "" if it is healthy.
    """

    modality: Modality
    fault: Fault | None
    reason: str

    @property
    def healthy(self) -> bool:
        """Whether it may be used."""
        return self.fault is None


@dataclass(frozen=True)
class Assessment:
    """What can be used of a triplet.

    Attributes:
        time: of the triplet.
        verdicts: one for each sensor of the node.
        state: the healthy sensors and nothing else; None if there are none.
    """

    time: float
    verdicts: Mapping[Modality, Verdict]
    state: State | None

    @property
    def faults(self) -> str:
        """What is wrong with whom in a few words; "" if all are healthy."""
        return ", ".join(f"{m} {v.fault}" for m, v in self.verdicts.items() if v.fault)

    @property
    def reason(self) -> str:
        """What is wrong with whom, and how that shows; "" if all are healthy."""
        return "; ".join(f"{m}: {v.reason}" for m, v in self.verdicts.items() if v.fault)
