"""The few points of a frame that are looked at, and what they are reduced to.

A frame of any size becomes 8 bands of at most 16 x 16 points: from 1920 x 1080 pixels one in
thousand is read, so the cost does not grow with the frame. Products with constant matrices do the
reductions: for arrays this small numpy's own cost ten times as much.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from denet.pixels import Range
from runtime.node.sources.frame import Pixels

BANDS = 8
"""Horizontal stripes of a frame, from the top."""

ACROSS = 16
"""Points of a row."""

DOWN = 16
"""Rows of points in a band."""

BLOCKS = 4
"""Blocks of a band, side by side."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Points:
    """A frame, reduced.

    Attributes:
        levels: (BANDS, n) its points in levels of 0 to 255; of colour, the green ones.
        blocks: (BANDS * BLOCKS,) the mean of each block.
        means: the mean of each band.
        spreads: the variance of each band.
    """

    levels: Floats
    blocks: Floats
    means: list[float]
    spreads: list[float]


class Grid:
    """Reduces frames of one shape and type.

    Attributes:
        step: levels between two neighbouring values of a pixel.
        points: in a band.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], range16: Range):
        """Make one.

        Args:
            shape: of the frames, at least (8, 4).
            dtype: uint8 or uint16.
            range16: the 16-bit values of black and white.
        """
        height, width = shape[:2]
        down = min(DOWN, height // BANDS)
        across = min(ACROSS, width) // BLOCKS * BLOCKS
        self._at: tuple[Any, ...] = _spaced(height, BANDS * down), _spaced(width, across)
        if len(shape) == 3:
            self._at += (1,)
        low, high = range16 if dtype == np.uint16 else (0, 255)
        self.step = 255 / (high - low)
        self._low = np.float32(low)
        count = down * across
        self.points = count
        self._mean = np.full(count, 1 / count, np.float32)
        block = np.arange(count) % across // (across // BLOCKS)
        self._blocks = (block[:, None] == np.arange(BLOCKS)).astype(np.float32)
        self._blocks *= np.float32(BLOCKS / count)

    def __call__(self, image: Pixels) -> Points:
        """The points of a frame."""
        levels = image[self._at].astype(np.float32).reshape(BANDS, -1)
        if self.step != 1:
            levels -= self._low
            levels *= np.float32(self.step)
        means = (levels @ self._mean).tolist()
        squares = ((levels * levels) @ self._mean).tolist()
        spreads = [square - mean * mean for square, mean in zip(squares, means, strict=True)]
        return Points(levels, (levels @ self._blocks).ravel(), means, spreads)

    def distances(self, levels: Floats, others: Floats) -> list[float]:
        """The mean absolute difference of two frames, band by band."""
        difference = np.subtract(levels, others)
        np.abs(difference, out=difference)
        distances: list[float] = (difference @ self._mean).tolist()
        return distances

    def coloured(self, image: Pixels) -> float:
        """The share of points of a colour frame in which its channels differ. One row of points
        tells most often that it is high, at a tenth of the cost of all."""
        rows, columns = self._at[:2]
        middle = image[(rows.start + rows.stop) // 2, columns].tolist()
        share: float = sum(r != g or b != g for r, g, b in middle) / len(middle)
        if share >= 0.5:
            return share
        points = image[rows, columns]
        other = (points[..., 0] != points[..., 1]) | (points[..., 2] != points[..., 1])
        found: float = np.count_nonzero(other) / other.size
        return found


def _spaced(length: int, count: int) -> slice:
    """`count` places evenly in the middle of `length`."""
    step = length // count
    first = (length - (count - 1) * step - 1) // 2
    return slice(first, first + (count - 1) * step + 1, step)
