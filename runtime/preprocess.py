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
from runtime.bundle import Normalization, Preprocessing

ImageLike = Union[str, "PathLike[str]", Image.Image, NDArray[Any]]
"""A path, a Pillow image, or an array (H, W), (H, W, 1) or (H, W, 3) of uint8 or uint16; three
channels are in the order red, green, blue."""


class ImageError(DenetError):
    """An image that cannot be used; the message names it."""


class Preprocessor:
    """Images of one model's modalities to its network input."""

    def __init__(self, spec: Preprocessing) -> None:
        self.shape = (3, spec.height, spec.width)
        self._tables = {m: _table(n) for m, n in spec.modalities.items()}
        self._ranges = {m: n.range16 for m, n in spec.modalities.items()}

    def __call__(
        self, image: ImageLike, modality: Modality, out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """The network input (3, height, width) for `image`, written to `out` if given.

        Raises:
            ImageError: the image cannot be read, is empty, or is of no known kind.
        """
        _, height, width = self.shape
        pillow = to_rgb(image, self._ranges[modality])
        if pillow.size != (width, height):
            pillow = pillow.resize((width, height), Image.Resampling.BILINEAR)
        values = np.asarray(pillow)
        if out is None:
            out = np.empty(self.shape, np.float32)
        for channel, table in enumerate(self._tables[modality]):
            np.take(table, values[:, :, channel], out=out[channel], mode="clip")
        return out


def _table(normalization: Normalization) -> NDArray[np.float32]:
    """(3, 256): the network input for each 8-bit value of each channel.

    256 values instead of one for each pixel; each is computed as torchvision computes it, which
    multiplies by 1/255 in float32: that differs from a division in the last bit of half of them.
    """
    values = np.arange(256, dtype=np.float32) * np.float32(1 / 255)
    mean = np.asarray(normalization.mean, np.float32)[:, None]
    std = np.asarray(normalization.std, np.float32)[:, None]
    return (values[None] - mean) / std


def to_rgb(image: ImageLike, range16: tuple[int, int]) -> Image.Image:
    """`image` as an 8-bit RGB Pillow image; one channel becomes three equal ones.

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
        return pixels.to_rgb(pillow, range16)
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
