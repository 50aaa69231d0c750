"""What the pixels of one stream show, frame after frame."""

from __future__ import annotations

from typing import Any

import numpy as np

from runtime.node.health.colour import Colour
from runtime.node.health.grid import Grid, Points
from runtime.node.health.limits import Limits
from runtime.node.health.picture import flat_bands, picture_fault
from runtime.node.health.range_use import RangeUse
from runtime.node.health.repeats import FrameChange, Repeats
from runtime.node.health.tears import filled, half_updated, shifted
from runtime.node.health.verdict import Finding
from runtime.node.sources.frame import Frame, Pixels


class Content:
    """Judges the frames of one shape and type, in their order."""

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        limits: Limits,
        colour: Colour,
        use: RangeUse | None = None,
    ) -> None:
        self._limits = limits
        self._use = use if dtype == np.uint16 else None
        self._grid = Grid(shape, dtype, limits.range16)
        self._repeats = Repeats(self._grid, limits)
        self._colour = colour
        self._good: tuple[Pixels, Points] | None = None  # the last good frame
        self._position = -1.0  # in its recording, of the last frame

    @property
    def unsure(self) -> bool:
        """Whether the last frame repeats another, though not yet often enough for a finding."""
        return self._repeats.unsure

    def judge(self, frame: Frame) -> Finding | None:
        """What is wrong with a frame, or None."""
        if frame.position is not None:
            if frame.position <= self._position:  # what follows is a replay, and no fault
                self._repeats.begin_again()
            self._position = frame.position
        image = frame.image
        points = self._grid(image)
        flat = flat_bands(points, self._limits)
        change = self._repeats.compare(points)
        found = (
            picture_fault(points, flat, self._limits)
            or self._colour.judge(self._grid, image, frame.time)
            or half_updated(change)
            or (filled(points, flat, self._good[1].spreads, self._limits) if self._good else None)
            or self._shift(image, change)
        )
        if found is None:
            found = self._repeats.judge(points, change, frame.time)
            if found is None:
                self._good = image, points
                found = self._use.judge(points) if self._use else None
        else:
            self._repeats.pass_over(points)
            if change is not None and found.fault == "torn":
                self._repeats.shed(change)
        return found

    def _shift(self, image: Pixels, change: FrameChange | None) -> Finding | None:
        if change is None or self._good is None:
            return None
        return shifted(image, self._good[0], change)
