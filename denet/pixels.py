"""Pixels of 8 and 16 bits as 8-bit RGB: what training and the camera node do alike.

No torch: a camera node imports it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def to_8_bit(array: NDArray[Any], range16: tuple[int, int]) -> NDArray[np.uint8]:
    """Stretch 16-bit values to the nearest of 0..255 (half to even); values outside are clipped.

    Args:
        array: whole numbers in 0..65535, of any shape.
        range16: the values that become 0 and 255.
    """
    low, high = range16
    # The product is exact in float64, so the division alone rounds: ties are true ties.
    scaled = (array.astype(np.float64) - low) * 255 / (high - low)
    clipped: NDArray[np.uint8] = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return clipped


def to_rgb(image: Image.Image, range16: tuple[int, int]) -> Image.Image:
    """A Pillow image of any mode as 8-bit RGB; one channel becomes three equal ones.

    Args:
        image: of any size and mode.
        range16: the values of a 16-bit image that become 0 and 255.
    """
    return to_grey_or_rgb(image, range16).convert("RGB")


def to_grey_or_rgb(image: Image.Image, range16: tuple[int, int]) -> Image.Image:
    """As `to_rgb`, but one channel stays one: mode "L" or "RGB"."""
    if image.mode.startswith("I"):
        image = Image.fromarray(to_8_bit(np.asarray(image), range16))
    if image.mode == "L":
        image.load()  # as a conversion does: damaged data is found here
        return image
    return image.convert("RGB")
