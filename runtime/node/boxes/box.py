"""Where a person is in a frame."""

from __future__ import annotations

import msgspec


class Box(msgspec.Struct, frozen=True):
    """A person in pixels of the RGB frame, from the upper left corner; right and bottom are
    outside."""

    left: float
    top: float
    right: float
    bottom: float
