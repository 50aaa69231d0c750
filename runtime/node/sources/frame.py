"""What a source yields: frames, frames that cannot be decoded, and notices of what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Union

from numpy.typing import NDArray

from denet.errors import DenetError
from denet.graph import Modality

Pixels = NDArray[Any]
"""(H, W) or (H, W, 3) in the order red, green, blue; uint8 or uint16."""


class SourceError(DenetError):
    """A source that cannot be had, or was lost; the message names it, never its password."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of one modality.

    Attributes:
        modality: which sensor took it.
        time: when it was captured: seconds of `time.monotonic()`.
        image: its pixels; nobody writes to them.
        sequence: counted by its source from 0, over all connections.
        name: of its file in a recorded folder, without the extension; None of any other.
        position: seconds from the beginning of its recording; None of a camera.
    """

    modality: Modality
    time: float
    image: Pixels
    sequence: int
    name: str | None = None
    position: float | None = None


@dataclass(frozen=True, eq=False)
class Undecodable:
    """A picture that came and cannot be used, because its data is damaged.

    Attributes: as of a `Frame`, and
        reason: what the decoder said.
    """

    modality: Modality
    time: float
    reason: str
    sequence: int


Item = Union[Frame, Undecodable]

Stage = Literal["opening", "running", "lost", "ended", "failed"]


@dataclass(frozen=True)
class Notice:
    """A source went into another stage.

    Attributes:
        modality: whose source.
        time: when: seconds of `time.monotonic()`.
        stage: "opening": a connection is tried; "running": its first frame is there; "lost": it
            broke and will be tried again; "ended": a recording is over, and nothing will follow;
            "failed": it met a defect of this program and will not be tried again.
        reason: why, and what happens next, for a person.
        error: the defect.
    """

    modality: Modality
    time: float
    stage: Stage
    reason: str
    error: BaseException | None = None
