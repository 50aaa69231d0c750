"""A canvas of small images with frames and words, in pixels from the upper left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image

from denet.data.records import Record
from denet.figures.style import DOTS, PIXELS_PER_INCH
from denet.graph import Modality
from denet.pixels import Range, to_rgb

LONG_SIDE = 92
"""Of a thumbnail, in pixels."""

GAP = 6
"""Between thumbnails, in pixels; the frames need some of it."""

Pixels = NDArray[np.uint8]
"""An image (H, W, 3)."""


class Canvas:
    """A white canvas to put images, frames and words on.

    Args:
        width: in pixels.
        height: in pixels.
    """

    def __init__(self, width: int, height: int) -> None:
        self.figure = Figure(
            figsize=(width / PIXELS_PER_INCH, height / PIXELS_PER_INCH), facecolor="white"
        )
        self._axes: Axes = self.figure.add_axes((0, 0, 1, 1))
        self._axes.set_axis_off()
        self._axes.set_xlim(0, width)
        self._axes.set_ylim(height, 0)
        self._canvas = Image.new("RGB", (width * DOTS, height * DOTS), "white")
        self._size = width, height

    def image(
        self, pixels: Pixels, x: int, y: int, size: tuple[int, int], frame: str | None = None
    ) -> None:
        """Put an image of `size` (width, height) at (x, y), in a frame of a colour if one is
        given."""
        width, height = size
        dots = Image.fromarray(pixels).resize(
            (width * DOTS, height * DOTS), Image.Resampling.BICUBIC
        )
        self._canvas.paste(dots, (x * DOTS, y * DOTS))
        if frame is not None:
            self.frame(x, y, size, frame)

    def frame(self, x: int, y: int, size: tuple[int, int], color: str) -> None:
        """Draw a frame just outside the image of `size` at (x, y)."""
        box = Rectangle(
            (x - 1, y - 1), size[0] + 2, size[1] + 2, fill=False, edgecolor=color, linewidth=1.6
        )
        self._axes.add_patch(box)

    def text(self, x: float, y: float, words: str, **kwargs: Any) -> None:
        """Write words at (x, y); matplotlib's keywords say how."""
        self._axes.text(x, y, words, **kwargs)

    def finish(self) -> Figure:
        """The figure, when everything is on it."""
        width, height = self._size
        self._axes.imshow(
            np.asarray(self._canvas),
            extent=(0, width, height, 0),
            interpolation="nearest",
            aspect="auto",
            zorder=-1,
        )
        return self.figure


def thumbnail_size(pixels: Pixels) -> tuple[int, int]:
    """Width and height, in pixels of a canvas, at which images shaped like this one are shown."""
    height, width = pixels.shape[:2]
    scale = LONG_SIDE / max(height, width)
    return max(round(width * scale), 1), max(round(height * scale), 1)


def pixels_of(record: Record, ranges: Mapping[Modality, Range]) -> dict[Modality, Pixels]:
    """The images that a record has, as a person can look at them.

    Args:
        record: a sample.
        ranges: of each modality, the values that are black and white in 16-bit images.

    Raises:
        DataError: an image cannot be read.
        PixelError: nobody has said what its values mean.
    """
    return {m: np.asarray(to_rgb(image, ranges[m])) for m, image in record.open().items()}
