"""How much a sighting tells: its size, its sharpness, and whether all of the person is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from denet.graph import Modality
from runtime.node.boxes.box import Box
from runtime.node.sources.frame import Pixels

SHARP = 0.08
"""Sharpness from which on nothing is lost: that of people in focus, see `sharpness`."""

EDGE = 1.5
"""Pixels from the border of the frame within which a box is taken to be cut by it."""

CUT = 0.5
"""Worth of a person of whom the border hides something."""

LEAST = 0.02
"""Of any sighting."""


def quality(
    box: Box,
    images: Mapping[Modality, Pixels],
    score: float,
    frame: tuple[int, int] | None,
    others: Sequence[Box],
    size: tuple[int, int],
) -> float:
    """Of 0 to 1: the product of what follows, each of 0 to 1.

    Size: pixels in each direction, of those that the network takes at most. Sharpness: see there,
    the mean of the modalities. What is visible: the share of the box inside of the frame, half of
    it where the border cuts it, less the share that the box of somebody else covers. And the score
    of the detection.

    Args:
        box: in pixels of the RGB frame.
        images: pixels by modality.
        score: of the detection, of 0 to 1.
        frame: (width, height) of the RGB frame; None where it is not known.
        others: boxes of everybody else at this moment.
        size: (width, height) of the network's input.
    """
    pixels = min(1.0, float(np.sqrt(_area(box) / (size[0] * size[1]))))
    sharp = [min(1.0, sharpness(image, size) / SHARP) for image in images.values()]
    covered = max((_area(_common(box, other)) for other in others), default=0.0) / _area(box)
    seen = _visible(box, frame) * (1.0 - covered)
    return max(LEAST, pixels * float(np.mean(sharp)) * seen * min(1.0, max(0.0, score)))


def sharpness(image: Pixels, size: tuple[int, int]) -> float:
    """How much neighbours differ, of how much all pixels do: 1 less the correlation of a pixel with
    the next, the lesser of both directions. About 0 of a blur, 1 of noise; contrast and brightness
    do not matter. 0 of a picture of one value.

    Args:
        image: (H, W) or (H, W, 3), uint8 or uint16.
        size: (width, height) of the network's input: every n-th pixel is taken, to about that many,
            because what is finer does not reach the network.
    """
    step = max(1, int(min(image.shape[0] / size[1], image.shape[1] / size[0])))
    small = image[::step, ::step].astype(np.float32)
    grey = small.mean(axis=2) if small.ndim == 3 else small
    variance = float(grey.var())
    if min(grey.shape) < 2 or variance == 0.0:
        return 0.0
    steps = (float(np.mean(np.diff(grey, axis=axis) ** 2)) for axis in (0, 1))
    return min(steps) / (2 * variance)


def _visible(box: Box, frame: tuple[int, int] | None) -> float:
    if frame is None:
        return 1.0
    width, height = frame
    inside = _area(_common(box, Box(0.0, 0.0, width, height))) / _area(box)
    cut = (
        box.left < EDGE or box.top < EDGE or box.right > width - EDGE or box.bottom > height - EDGE
    )
    return inside * (CUT if cut else 1.0)


def _common(one: Box, other: Box) -> Box:
    return Box(
        max(one.left, other.left),
        max(one.top, other.top),
        min(one.right, other.right),
        min(one.bottom, other.bottom),
    )


def _area(box: Box) -> float:
    return max(0.0, box.right - box.left) * max(0.0, box.bottom - box.top)
