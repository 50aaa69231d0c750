"""The background of one stream: what each cell of its picture shows as a rule, and how steadily."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from runtime.node.boxes.motion.settings import MotionSettings

STEADINESS = 4.0
"""Standard deviations of a cell that are no motion: noise, leaves, water."""

FRAMES = 5
"""Pictures of which a background is learned, at least."""

SCENE = 0.5
"""Share of the cells that differ when the scene is another: a lamp, a shutter, a camera that was
turned. The background is learned anew."""

GAP = 1.0
"""Seconds between two pictures that count at most: what a pause hides is not known."""


class Background:
    """Running mean and variance of the cells of a stream.

    Args:
        settings: what counts as motion.
        warm: only what is brighter than the background does.
    """

    def __init__(self, settings: MotionSettings, warm: bool) -> None:
        self._settings, self._warm = settings, warm
        self._mean: NDArray[np.float32] = np.zeros((0, 0), np.float32)
        self._variance = self._mean
        self._learned, self._frames = 0.0, 0
        self._last: float | None = None

    def moving(self, cells: NDArray[np.float32], time: float) -> NDArray[np.bool_]:
        """Which cells show something that is not the background; none while that is learned.

        Args:
            cells: mean brightness, (H, W), of 0 to 255.
            time: of the capture, seconds.
        """
        if self._mean.shape != cells.shape:
            self._begin(cells)
        passed = 0.0 if self._last is None else min(max(time - self._last, 0.0), GAP)
        self._last = time
        difference = cells - self._mean
        if self._learned < self._settings.learning or self._frames < FRAMES:
            self._learned += passed
            self._frames += 1
            self._update(difference, 1 / self._frames, np.zeros(cells.shape, bool))
            return np.zeros(cells.shape, bool)
        limit = np.maximum(self._settings.contrast, STEADINESS * np.sqrt(self._variance))
        moving: NDArray[np.bool_] = np.abs(difference) > limit
        if moving.mean() > SCENE:
            self._begin(cells)
            return np.zeros(cells.shape, bool)
        self._update(difference, 1 - math.exp(-passed / self._settings.memory), moving)
        return moving & (difference > 0) if self._warm else moving

    def _update(
        self, difference: NDArray[np.float32], share: float, moving: NDArray[np.bool_]
    ) -> None:
        """A person who passes is no unsteadiness of the place, but becomes part of it in time."""
        still = ~moving
        change = (1 - share) * (self._variance + share * difference**2)
        self._variance = np.where(still, change, self._variance)
        self._mean = self._mean + share * difference

    def _begin(self, cells: NDArray[np.float32]) -> None:
        self._mean, self._variance = cells.copy(), np.zeros_like(cells)
        self._learned, self._frames, self._last = 0.0, 0, None
