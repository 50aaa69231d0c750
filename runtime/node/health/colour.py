"""Whether a stream has its colour, or the lack of it, as usual."""

from __future__ import annotations

from runtime.node.health.grid import Grid
from runtime.node.health.limits import Limits
from runtime.node.health.usual import Usual
from runtime.node.health.verdict import Finding
from runtime.node.sources.frame import Pixels

SELDOM = 1 / 9
"""Share of grey seconds for each coloured one with which a stream is still a coloured one: nine
frames in ten."""


class Colour:
    """Finds a colour camera that gives grey: its filter against infrared has been taken away, or
    the colour was lost on the way.

    Colour that a grey stream has now and then is no fault, nor is grey where it comes often.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._usual = Usual[bool](limits.usual_seconds)

    def judge(self, grid: Grid, image: Pixels, time: float) -> Finding | None:
        """What is wrong with the colour of a frame, or None.

        Args:
            grid: of its points.
            image: (H, W, 3), or (H, W), which has none to lose.
            time: of its capture.
        """
        limits = self._limits
        if image.ndim < 3 or limits.colour == "any":
            return None
        share = grid.coloured(image)
        if limits.colour_share / 2 <= share < limits.colour_share:
            return None
        coloured = share >= limits.colour_share
        if limits.colour == "learned":
            amends = SELDOM if self._usual.value else 1 / SELDOM
            if self._usual.sees(coloured, time, amends=amends) or not self._usual.value:
                return None
        if coloured:
            return None
        return Finding("channels", "its three channels are equal: it has lost its colour")
