"""Pixels of more than 8 bits as 8-bit RGB: what training and the camera node do alike.

No torch: a camera node imports it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from denet.errors import DenetError
from denet.images import Decoded

Range = tuple[float, float]
"""The values that are black and white, in the units of a sensor."""

FULL: Range = (0, 65535)
"""Of 16 bits, where nobody has said which part of them a sensor uses."""

LEAST_USE = 0.05
"""Of a range: what all pictures of a sensor together use of one that fits. People and what is
behind them differ by more, or no network tells them apart."""

MOST_CLIPPED = 0.5
"""Of the pixels: what may lie outside of a range that fits; a cold sky takes up a third."""

OUTERMOST = 0.5
"""Per cent of the pixels at either end that say nothing of a range: dead pixels, lamps."""


class PixelError(DenetError):
    """Pixels of which nobody has said what they mean."""


def checked_range(low: float, high: float) -> Range:
    """Two values that are a range.

    Raises:
        ValueError: they do not rise, or are not finite.
    """
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ValueError(f"a range is two rising values, black and white, not {[low, high]}")
    return low, high


def to_8_bit(array: NDArray[Any], range16: Range) -> NDArray[np.uint8]:
    """Stretch values to the nearest of 0..255 (half to even); values outside are clipped.

    Args:
        array: finite numbers, of any shape.
        range16: the values that become 0 and 255.
    """
    low, high = range16
    # The product is exact in float64 for 16 bits, so the division alone rounds: ties are true ties.
    scaled = (array.astype(np.float64) - low) * 255 / (high - low)
    clipped: NDArray[np.uint8] = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return clipped


def to_rgb(image: Decoded, range16: Range) -> Image.Image:
    """A decoded image of any mode as 8-bit RGB; one channel becomes three equal ones.

    Args:
        image: of any size and mode.
        range16: the values of an image of more than 8 bits that become 0 and 255.

    Raises:
        PixelError: as `to_grey_or_rgb`.
    """
    return to_grey_or_rgb(image, range16).convert("RGB")


def to_grey_or_rgb(image: Decoded, range16: Range) -> Image.Image:
    """As `to_rgb`, but one channel stays one: mode "L" or "RGB".

    Raises:
        PixelError: its values are of 32 bits, do not fit into 16, and `range16` is none that
            somebody chose: see `declared_values`.
    """
    if not isinstance(image, Image.Image):
        return Image.fromarray(to_8_bit(image, range16))
    if image.mode in ("I", "F"):
        image = Image.fromarray(to_8_bit(declared_values(image, range16), range16))
    elif image.mode.startswith("I"):
        image = Image.fromarray(to_8_bit(np.asarray(image), range16))
    if image.mode == "L":
        image.load()  # as a conversion does: damaged data is found here
        return image
    return image.convert("RGB")


def declared_values(image: Image.Image, range16: Range) -> NDArray[Any]:
    """The values (H, W) of an image of 32 bits, of which somebody has said what they mean.

    Args:
        image: of mode "I" or "F".
        range16: what becomes black and white. Values that fit into 16 bits need none; others, such
            as a temperature in kelvin or a share of 1, mean nothing without.

    Raises:
        PixelError: nobody has said it, or there are values that are no numbers.
    """
    values = np.asarray(image)
    name = getattr(image, "filename", "") or "an image"
    fractions = values.dtype.kind == "f"
    if fractions and not np.isfinite(values).all():
        raise PixelError(f"{name}: holds values that are no numbers: replace them")
    if range16 == FULL and values.size:
        least, most = values.min(), values.max()
        if fractions or least < 0 or most > FULL[1]:
            kind = "32-bit fractions" if fractions else "32-bit numbers"
            raise PixelError(
                f"{name}: {kind} from {least:g} to {most:g}: say which are black and white: "
                f"{DECLARE}"
            )
    return values


DECLARE = "range16 in a recipe, range of a node's source, or --range"
"""Where a range is declared."""


def range_misfit(values: NDArray[Any], range16: Range) -> str | None:
    """Why a range cannot be the one of these values, in a few words; None if it can.

    Args:
        values: of pixels, of as many pictures as there are.
        range16: what becomes black and white.
    """
    if not values.size:
        return None
    low, high = range16
    outside = float(np.mean((values < low) | (values > high)))
    least, most = (float(v) for v in np.percentile(values, (OUTERMOST, 100 - OUTERMOST)))
    seen = f"values from {least:g} to {most:g}"
    if outside > MOST_CLIPPED:
        return f"{seen}: {100 * outside:.0f} % lie outside of the range {low:g} to {high:g}"
    used = (min(most, high) - max(least, low)) / (high - low)
    if used < LEAST_USE:
        return f"{seen} use {100 * used:.1f} % of the range {low:g} to {high:g}"
    return None
