"""Whether the pixels of a 16-bit stream fit the range that is said to be theirs.

A range that is much too wide leaves a few grey levels to a network, for which all people are then
the same; one that is beside the pixels leaves none. The picture still looks alive.
"""

from __future__ import annotations

import numpy as np

from denet.pixels import MOST_CLIPPED, OUTERMOST
from runtime.node.health.grid import Points
from runtime.node.health.limits import Limits
from runtime.node.health.verdict import Finding

SEEN = 25
"""Pictures that a stream is trusted for, until it has shown what it uses."""


class RangeUse:
    """Judges a stream until one of its pictures shows that the range can be right.

    That is the case for good: a scene without anybody uses little of any range.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._seen = 0
        self._least, self._most = 255.0, 0.0  # levels, of all pictures
        self._fits = limits.range_use == 0

    def judge(self, points: Points) -> Finding | None:
        """What is wrong with the range, after a picture that is right otherwise."""
        if self._fits:
            return None
        levels = points.levels.ravel()
        cut = int(OUTERMOST / 100 * levels.size)
        ordered = np.partition(levels, (cut, levels.size - 1 - cut))
        low, high = float(ordered[cut]), float(ordered[-1 - cut])
        self._least = min(self._least, max(low, 0.0))
        self._most = max(self._most, min(high, 255.0))
        self._seen += 1
        used = max(self._most - self._least, 0.0) / 255
        inside = float(np.mean((levels >= 0) & (levels <= 255)))
        self._fits = used >= self._limits.range_use and inside >= 1 - MOST_CLIPPED
        if self._fits or self._seen < SEEN:
            return None
        black, white = self._limits.range16
        step = (white - black) / 255
        seen = f"values from {black + low * step:.0f} to {black + high * step:.0f}"
        said = f"the range {black:g} to {white:g}"
        how = f"use {100 * used:.1f} % of" if inside >= 1 - MOST_CLIPPED else "lie outside of"
        return Finding("range", f"{seen} {how} {said}: set the source's range")
