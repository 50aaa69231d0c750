"""Image -> network input, with exactly the numbers of the evaluation transform in training.

A training framework reads an image with Pillow, converts it to RGB, resizes it bilinearly with
antialiasing on 8-bit values, and normalizes in float32. This module does the same with Pillow
and numpy; the tests compare it with torchvision bit by bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from denet import pixels
from denet.errors import DenetError
from denet.graph import Modality
from denet.images import Decoded, read_image, size_of
from denet.pixels import Range
from runtime.bundle.manifest import NormalizationSpec, Preprocessing

ImageLike = Union[str, "PathLike[str]", Image.Image, NDArray[Any]]
"""A path, a Pillow image, or an array (H, W), (H, W, 1) or (H, W, 3) of uint8 or uint16; three
channels are in the order red, green, blue."""

SCALE = np.float32(1 / 255)
"""torchvision multiplies by it; a division by 255 differs in the last bit of half of the values."""


class ImageError(DenetError):
    """An image that cannot be used; the message names it."""


class Preprocessor:
    """Images of one model's modalities to its network input.

    Attributes:
        shape: (3, height, width) of a network input.
        ranges: of each modality, the values that are black and white in images of more than 8
            bits.

    Args:
        spec: of the model.
        ranges: of the sensors that are known to have others than those that the model was trained
            with.
    """

    def __init__(self, spec: Preprocessing, ranges: Mapping[Modality, Range] | None = None) -> None:
        self.shape = (3, spec.height, spec.width)
        self._statistics = {m: _statistics(n) for m, n in spec.modalities.items()}
        self.ranges: dict[Modality, Range] = {m: n.range16 for m, n in spec.modalities.items()}
        self.ranges |= ranges or {}

    def __call__(
        self, image: ImageLike, modality: Modality, out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """The network input (3, height, width) for `image`, written to `out` if given.

        Raises:
            ImageError: the image cannot be read, is empty, or is of no known kind.
        """
        _, height, width = self.shape
        pillow = to_pillow(image, self.ranges[modality])
        if pillow.size != (width, height):
            pillow = pillow.resize((width, height), Image.Resampling.BILINEAR)
        # One channel has been resized once; here it becomes three.
        values = np.atleast_3d(np.asarray(pillow)).transpose(2, 0, 1)
        if out is None:
            out = np.empty(self.shape, np.float32)
        mean, std = self._statistics[modality]
        np.multiply(values, SCALE, out=out)
        np.subtract(out, mean, out=out)
        np.divide(out, std, out=out)
        return out


def _statistics(
    normalization: NormalizationSpec,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of the channels, (3, 1, 1) each."""
    mean = np.asarray(normalization.mean, np.float32)[:, None, None]
    std = np.asarray(normalization.std, np.float32)[:, None, None]
    return mean, std


def to_pillow(image: ImageLike, range16: Range) -> Image.Image:
    """`image` as an 8-bit Pillow image, RGB or of one channel.

    Args:
        image: what to convert.
        range16: the values that become 0 and 255 in an image of more than 8 bits; values outside
            are clipped.

    Raises:
        ImageError: the image cannot be read, is empty, is of no known kind, or holds values of
            which nobody has said what they mean.
    """
    found: Decoded
    if isinstance(image, Image.Image):
        found, name = image, getattr(image, "filename", "") or "image"
    elif isinstance(image, np.ndarray):
        found, name = _from_array(image, range16), "array"
    else:
        found, name = read_image(Path(image), ImageError), str(image)
    width, height = size_of(found)
    if width == 0 or height == 0:
        raise ImageError(f"{name}: has no pixels ({width}x{height})")
    try:
        return pixels.to_grey_or_rgb(found, range16)
    except pixels.PixelError as error:
        raise ImageError(str(error)) from None
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(f"{name}: cannot be decoded: {error}") from None


def _from_array(array: NDArray[Any], range16: Range) -> Image.Image:
    shape: Sequence[int] = array.shape
    if array.ndim == 3 and shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and shape[2] != 3):
        raise ImageError(f"an image array is (H, W), (H, W, 1) or (H, W, 3), not {tuple(shape)}")
    if array.size == 0:
        raise ImageError(f"an image array has no pixels: {tuple(shape)}")
    if array.dtype == np.uint16:
        array = pixels.to_8_bit(array, range16)
    if array.dtype != np.uint8:
        raise ImageError(f"an image array is uint8 or uint16, not {array.dtype}")
    return Image.fromarray(np.ascontiguousarray(array))
