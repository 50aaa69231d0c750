"""Images on their way to a server: a file of an image as it is, or pixels as an array of numpy's.

An empty value is a missing modality. Pixels are a file of NPY, format 1.0: (H, W), (H, W, 1) or
(H, W, 3) of uint8, or of uint16 in the units of the sensor, little-endian.
"""

from __future__ import annotations

import io
import struct
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from denet.images import MOST_PIXELS, decoded, open_image
from denet.reading import reading
from runtime.npz import npy
from runtime.preprocess import ImageError

MISSING = b""

_MAGIC = b"\x93NUMPY\x01\x00"

_LONGEST_HEADER = 512
"""Bytes; one of numpy has 118."""


def pack(image: Image.Image, jpeg: int | None) -> bytes:
    """An 8-bit image for a request.

    Args:
        image: of mode "L" or "RGB".
        jpeg: the quality in which it is compressed, 1 to 100, which changes it; None for its
            pixels.
    """
    stream = io.BytesIO()
    if jpeg is None:
        npy.write_array(stream, np.asarray(image), version=(1, 0), allow_pickle=False)
    else:
        image.save(stream, "JPEG", quality=jpeg, subsampling=0)
    return stream.getvalue()


def unpack(content: bytes, name: str) -> Image.Image | NDArray[Any] | None:
    """The image in a request, for `Runtime.embed_batch`; None where there is none.

    Args:
        content: a file of an image, or of an array.
        name: for messages.

    Raises:
        ImageError: it is neither, is too large, or is damaged.
    """
    if not content:
        return None
    if content.startswith(_MAGIC[:6]):
        return _array(content, name)
    with reading(name, ImageError, "cannot be read"):
        return decoded(open_image(io.BytesIO(content), name, ImageError))


def _array(content: bytes, name: str) -> NDArray[Any]:
    length = int.from_bytes(content[8:10], "little")
    if not content.startswith(_MAGIC) or length > _LONGEST_HEADER:
        raise ImageError(f"{name}: an array is NPY of format 1.0, with a short header")
    with reading(name, ImageError, "not an array of NPY"):
        shape, dtype = _header(content[10 : 10 + length])
    fits = len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3))
    if not fits or dtype not in (np.uint8, np.dtype("<u2")):
        raise ImageError(
            f"{name}: an array is (H, W), (H, W, 1) or (H, W, 3) of uint8 or uint16, not {shape} "
            f"of {dtype}"
        )
    if min(shape) < 1 or shape[0] * shape[1] > MOST_PIXELS:
        raise ImageError(f"{name}: {shape}: has no pixels, or more than {MOST_PIXELS}")
    pixels = content[10 + length :]
    if len(pixels) != dtype.itemsize * int(np.prod(shape)):
        raise ImageError(f"{name}: damaged: {len(pixels)} bytes of pixels are not {shape}")
    return np.frombuffer(pixels, dtype).reshape(shape)


@lru_cache(maxsize=1024)
def _header(header: bytes) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype. Raises: whatever numpy raises on what is no header."""
    stream = io.BytesIO(struct.pack("<H", len(header)) + header)
    shape, by_columns, dtype = npy.read_array_header_1_0(stream)
    if by_columns or not all(isinstance(n, int) for n in shape):
        raise ValueError("it is stored by columns: take np.ascontiguousarray of it")
    return shape, np.dtype(dtype)
