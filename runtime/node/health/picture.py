"""Faults that one picture shows by itself."""

from __future__ import annotations

import numpy as np

from runtime.node.health.grid import BANDS, Points
from runtime.node.health.limits import Limits
from runtime.node.health.verdict import Finding

ALIKE = 8.0
"""Levels by which the flat bands of a uniform picture may differ: a cloudless sky differs more."""


def flat_bands(points: Points, limits: Limits) -> list[bool]:
    """Which bands show nothing, not even noise."""
    least = limits.flat_spread**2
    return [spread < least for spread in points.spreads]


def picture_fault(points: Points, flat: list[bool], limits: Limits) -> Finding | None:
    """The fault of a picture that shows nothing, or None.

    The means rule most pictures out before a single point is counted.
    """
    mean = sum(points.means) / BANDS
    # 2 % of the points may be white.
    if mean <= limits.black_level + (1 - limits.black_share) * 255:
        share = np.count_nonzero(points.levels <= limits.black_level) / points.levels.size
        if share >= limits.black_share:
            return Finding(
                "black",
                f"{100 * share:.0f} % of it is no brighter than {limits.black_level:g} of 255",
            )
    if mean >= limits.white_share * limits.white_level:
        share = np.count_nonzero(points.levels >= limits.white_level) / points.levels.size
        if share >= limits.white_share:
            return Finding(
                "saturated",
                f"{100 * share:.0f} % of it is at least {limits.white_level:g} of 255",
            )
    if sum(flat) >= limits.uniform_bands:
        levels = [m for m, is_flat in zip(points.means, flat, strict=True) if is_flat]
        if max(levels) - min(levels) <= ALIKE:
            return Finding("uniform", f"it is {levels[0]:.0f} of 255 everywhere, without noise")
    return None
