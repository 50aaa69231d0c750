"""What turned out later: whose boxes were somebody else's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Correction:
    """Boxes that were said to be of one track are of another.

    Attributes:
        track: id of the one.
        other: id of the other.
        exchanged_since: the two were taken for one another after this time, and are exchanged; None
            where all of `track` is a part of `other`.
    """

    track: str
    other: str
    exchanged_since: float | None = None
