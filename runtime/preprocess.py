"""Image -> network input, with exactly the numbers of the evaluation transform in training.

A training framework reads an image with Pillow, converts it to RGB, resizes it bilinearly with
antialiasing on 8-bit values, and normalizes in float32. This module does the same with Pillow
and numpy; the tests compare it with torchvision bit by bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from denet import pixels
from denet.errors import DenetError
from denet.graph import Modality
from runtime.bundle.manifest import NormalizationSpec, Preprocessing

ImageLike = Union[str, "PathLike[str]", Image.Image, NDArray[Any]]
"""A path, a Pillow image, or an array (H, W), (H, W, 1) or (H, W, 3) of uint8 or uint16; three
channels are in the order red, green, blue."""

SCALE = np.float32(1 / 255)
"""torchvision multiplies by it; a division by 255 differs in the last bit of half of the values."""


class ImageError(DenetError):
    """An image that cannot be used; the message names it."""


class Preprocessor:
    """Images of one model's modalities to its network input."""

    def __init__(self, spec: Preprocessing) -> None:
        self.shape = (3, spec.height, spec.width)
        self._statistics = {m: _statistics(n) for m, n in spec.modalities.items()}
        self._ranges = {m: n.range16 for m, n in spec.modalities.items()}

    def __call__(
        self, image: ImageLike, modality: Modality, out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """The network input (3, height, width) for `image`, written to `out` if given.

        Raises:
            ImageError: the image cannot be read, is empty, or is of no known kind.
        """
        _, height, width = self.shape
        pillow = to_pillow(image, self._ranges[modality])
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


def to_pillow(image: ImageLike, range16: tuple[int, int]) -> Image.Image:
    """`image` as an 8-bit Pillow image, RGB or of one channel.

    Args:
        image: what to convert.
        range16: the values of a 16-bit image that become 0 and 255; values outside are clipped.

    Raises:
        ImageError: the image cannot be read, is empty, or is of no known kind.
    """
    if isinstance(image, Image.Image):
        pillow, name = image, "image"
    elif isinstance(image, np.ndarray):
        pillow, name = _from_array(image, range16), "array"
    else:
        pillow, name = _read(image), str(image)
    if pillow.width == 0 or pillow.height == 0:
        raise ImageError(f"{name}: has no pixels ({pillow.width}x{pillow.height})")
    try:
        return pixels.to_grey_or_rgb(pillow, range16)
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(f"{name}: cannot be decoded: {error}") from None


def _read(path: str | PathLike[str]) -> Image.Image:
    try:
        with Image.open(path) as file:
            file.load()
            return file.copy() if file.mode == "P" else file
    except FileNotFoundError:
        raise ImageError(f"{path}: there is no such image") from None
    except UnidentifiedImageError:
        raise ImageError(f"{path}: not an image") from None
    except Exception as error:  # each decoder has its own kinds for a damaged file
        raise ImageError(f"{path}: cannot be read: {error}") from None


def _from_array(array: NDArray[Any], range16: tuple[int, int]) -> Image.Image:
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
