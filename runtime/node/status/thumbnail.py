"""A small picture of a frame."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image

from runtime.node.sources.frame import Pixels

SIDE = 320
"""Pixels of the longer side."""

QUALITY = 75

PERCENTILES = 1, 99
"""Of a 16-bit frame: what is shown as black and as white. Thermal pictures fill a small part of
their range."""


def thumbnail(image: Pixels) -> bytes:
    """A JPEG of at most `SIDE` x `SIDE`.

    Args:
        image: (H, W) or (H, W, 3); uint8 or uint16.
    """
    # Every n-th pixel first, to twice the size that is wanted: a large frame is read once.
    step = max(1, max(image.shape[:2]) // (2 * SIDE))
    small = image[::step, ::step]
    if small.dtype != np.uint8:
        low, high = np.percentile(small, PERCENTILES)
        scale = 255.0 / max(high - low, 1.0)
        small = ((small - low) * scale).clip(0, 255).astype(np.uint8)
    picture = Image.fromarray(np.ascontiguousarray(small))
    picture.thumbnail((SIDE, SIDE))
    content = BytesIO()
    picture.save(content, "JPEG", quality=QUALITY)
    return content.getvalue()
