"""From a box in the RGB frame to the pixels of a person in each modality."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from denet.graph import Modality
from denet.pixels import Range, to_8_bit
from runtime.node.boxes.box import Box
from runtime.node.boxes.homography import Views
from runtime.node.sources.frame import Pixels

OUTSIDE = "outside"
"""Nothing of the box is in any frame."""

UNEQUAL = "sizes differ"
"""Frames of several sizes, and no calibration that says where one is in the other."""


def crop(image: Pixels, box: Box) -> Pixels | None:
    """The pixels that a box touches, clipped to the frame: a copy; None if there are none.

    Cut to whole pixels, so what a network makes of it is what it makes of an image file with the
    same pixels.

    Args:
        image: the frame.
        box: in pixels of this frame.
    """
    height, width = image.shape[:2]
    left, right = max(math.floor(box.left), 0), min(math.ceil(box.right), width)
    top, bottom = max(math.floor(box.top), 0), min(math.ceil(box.bottom), height)
    if left >= right or top >= bottom:
        return None
    # A view would keep the whole frame in memory while the crop waits.
    return image[top:bottom, left:right].copy()


def crops(
    frames: Mapping[Modality, Pixels], box: Box | None, views: Views | None
) -> dict[Modality, Pixels] | str:
    """The pixels of one person in each modality that sees them, or why there are none.

    Args:
        frames: of one moment.
        box: in pixels of the RGB frame; None if the frames are crops.
        views: where that is in other modalities; None if all frames show the same.
    """
    if box is None:
        return dict(frames)
    if views is None and len({image.shape[:2] for image in frames.values()}) > 1:
        return UNEQUAL
    found = {}
    for m, image in frames.items():
        view = None if views is None else views.get(m)
        pixels = crop(image, box if view is None else view.place(box))
        if pixels is not None:
            found[m] = pixels
    return found or OUTSIDE


def brought_to_8_bits(
    images: Mapping[Modality, Pixels], ranges: Mapping[Modality, Range]
) -> dict[Modality, Pixels]:
    """The pixels of one person, those of 16 bits as a sensor of that range has them.

    Args:
        images: by modality.
        ranges: the values of black and white, of sensors that have their own.
    """
    return {
        m: to_8_bit(image, ranges[m]) if m in ranges and image.dtype == np.uint16 else image
        for m, image in images.items()
    }
