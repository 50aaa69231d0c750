"""Image files, opened as what their content says, whoever wrote them.

Pillow would try every format that it knows, and some of these start programs or hold many images.
Here a file is one of the formats that are named below, told by its first bytes and never by its
name, and no reader but that one sees it. Its size is known before it is decoded. A camera node
imports this module.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Union

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from denet.errors import DenetError
from denet.reading import open_regular, reading

READERS = {
    "PNG": ("PIL.PngImagePlugin", "PngImageFile", (".png",)),
    "JPEG": ("PIL.JpegImagePlugin", "JpegImageFile", (".jpg", ".jpeg", ".jpe", ".jfif")),
    "TIFF": ("PIL.TiffImagePlugin", "TiffImageFile", (".tif", ".tiff")),
    "BMP": ("PIL.BmpImagePlugin", "BmpImageFile", (".bmp",)),
    "GIF": ("PIL.GifImagePlugin", "GifImageFile", (".gif",)),
    "WebP": ("PIL.WebPImagePlugin", "WebPImageFile", (".webp",)),
    "PPM": ("PIL.PpmImagePlugin", "PpmImageFile", (".ppm", ".pgm", ".pbm", ".pnm", ".pfm")),
}
"""The formats that are read: the class of Pillow that reads each and nothing else, and what its
files are called."""

EXTENSIONS = frozenset(extension for *_, names in READERS.values() for extension in names)

FOREIGN = frozenset(
    {".avif", ".avifs", ".dng", ".eps", ".exr", ".heic", ".heif", ".ico", ".j2k"}
    | {".jp2", ".jxl", ".psd", ".tga"}
)
"""Image files of other formats: refused by name where images are expected, never passed over."""

MOST_PIXELS = 1 << 26
"""Of an image; a frame of 8K has half of it."""

MOST_BYTES = 1 << 29
"""Of a file: `MOST_PIXELS` of 16-bit colour, not compressed, and more."""

Decoded = Union[Image.Image, NDArray[np.uint16]]
"""A decoded image as it is stored: one of Pillow, or colour of 16 bits, which Pillow has not, as
(H, W, 3) in the order red, green, blue."""

UNREADABLE = "cannot be read"

# Pillow unpacks only the upper half of each value of such colour, and has no way to ask for the
# lower one. But the same bytes taken in the other order have it as their upper half.
_SWAPPED = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
_COLOURS = ("RGB;16", "RGBA;16", "RGBX;16")
_GREY_ALPHA = "LA;16B"

TIFF_SUBFILE, TIFF_BITS, TIFF_PHOTOMETRIC = 254, 258, 262


def read_image(path: Path, error: type[DenetError]) -> Decoded:
    """The image in a file, decoded, with the depth that it is stored in.

    Raises:
        error: the file is absent, no regular file, in none of the formats above, too large,
            damaged, or holds several images.
    """
    with reading(path, error, UNREADABLE), open_regular(path) as stream:
        if os.fstat(stream.fileno()).st_size > MOST_BYTES:
            raise error(f"{path}: has more than {MOST_BYTES >> 20} MiB: shrink it")
        image = decoded(_identified(stream, path, error))
    if isinstance(image, Image.Image):
        image.filename = str(path)  # type: ignore[attr-defined]
    return image


def open_image(stream: BinaryIO, name: Path | str, error: type[DenetError]) -> ImageFile.ImageFile:
    """The image in a stream of bytes: its header is read, nothing is decoded yet.

    Args:
        stream: of bytes; it stays open.
        name: for messages.
        error: to raise.

    Raises:
        error: as `read_image`.
    """
    with reading(name, error, UNREADABLE):
        return _identified(stream, name, error)


def _identified(stream: BinaryIO, name: Path | str, error: type[DenetError]) -> ImageFile.ImageFile:
    kind = _format(stream.read(16))
    if kind is None:
        raise error(f"{name}: not an image in {', '.join(READERS)}: convert, replace or remove it")
    stream.seek(0)
    image = _reader(kind)(stream)
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise error(f"{name}: {width}x{height} pixels are more than {MOST_PIXELS}: shrink it")
    if kind != "JPEG":
        reason = _ambiguous(image)
        if reason:
            raise error(f"{name}: {reason}")
    return image


@cache
def _reader(kind: str) -> Callable[[BinaryIO], ImageFile.ImageFile]:
    module, name, _ = READERS[kind]
    reader: Callable[[BinaryIO], ImageFile.ImageFile] = getattr(
        importlib.import_module(module), name
    )
    return reader


def decoded(image: ImageFile.ImageFile) -> Decoded:
    """An image of `open_image`, decoded. Raises: whatever Pillow raises on damaged data."""
    raw = _rawmode(image) if image.format in ("PNG", "TIFF") else ""
    if raw == _GREY_ALPHA:
        # Two bytes of grey and two of alpha, as if they were four channels of one byte.
        bytewise = _unpacked(image, "RGBA").astype(np.uint16)
        return Image.fromarray(bytewise[:, :, 0] << 8 | bytewise[:, :, 1])
    if raw.startswith(_COLOURS):
        stream = image.fp
        assert stream is not None
        stream.seek(0)
        again = type(image)(stream)
        upper = _unpacked(image, raw)[:, :, :3].astype(np.uint16)
        stream.seek(0)
        lower = _unpacked(again, _lower(raw))[:, :, :3]
        return (upper << 8 | lower).astype(np.uint16, copy=False)
    image.load()
    return image.copy() if image.mode == "P" else image


def cropped(image: Decoded, box: tuple[int, int, int, int]) -> Decoded:
    """The part of an image from (left, top) to before (right, bottom)."""
    left, top, right, bottom = box
    if not isinstance(image, Image.Image):
        return image[top:bottom, left:right]
    part = image.crop(box)
    part.filename = getattr(image, "filename", "")  # type: ignore[attr-defined]
    return part


def size_of(image: Decoded) -> tuple[int, int]:
    """Width and height in pixels."""
    if isinstance(image, Image.Image):
        return image.size
    height, width = image.shape[:2]
    return width, height


def _format(head: bytes) -> str | None:
    """The format of a file that begins with these bytes."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    if head.startswith(b"BM"):
        return "BMP"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WebP"
    if head[:1] == b"P" and head[1:2] in b"123456f" and head[2:3].isspace():
        return "PPM"
    return None


def _rawmode(image: ImageFile.ImageFile) -> str:
    """How the stored values are unpacked, in Pillow's words."""
    tile: Any = image.tile[0] if image.tile else ("", (), 0, "")
    found = tile[3][0] if isinstance(tile[3], tuple) else tile[3]
    return found if isinstance(found, str) else ""


def _lower(raw: str) -> str:
    return raw[:-1] + _SWAPPED[raw[-1]]


def _unpacked(image: ImageFile.ImageFile, raw: str) -> NDArray[np.uint8]:
    """The image (H, W, channels), decoded by another raw mode than Pillow chose."""
    tiles: list[Any] = []
    for tile in image.tile:
        given: Any = tile[3]
        fields = (*tile[:3], raw if isinstance(given, str) else (raw, *given[1:]))
        tiles.append(type(tile)(*fields) if hasattr(tile, "_fields") else fields)
    image.tile = tiles
    image.load()
    return np.asarray(image)


def _ambiguous(image: ImageFile.ImageFile) -> str:
    """Why it cannot be told what the pixels mean; "" if it can."""
    if getattr(image, "is_animated", False) and not _one_image(image):
        return "holds several images: store each in a file of its own"
    deep = image.mode in ("I", "F") or image.mode.startswith("I;16")
    if image.format == "PPM":
        tile: Any = image.tile[0]
        most = tile[3][-1] if tile[0] in ("ppm", "ppm_plain") and tile[3][0] != "1" else 255
        # Pillow stretches such values, or halves their depth.
        if isinstance(most, int) and most > 255 and not (deep and most == 65535):
            return f"values up to {most}: convert it to PNG or TIFF"
    if image.format == "TIFF":
        tags: Any = getattr(image, "tag_v2", {})
        if deep and tags.get(TIFF_PHOTOMETRIC) == 0:
            return "its least values are white: convert it to black for the least"
        bits = tags.get(TIFF_BITS) or (8,)
        if not deep and max(bits) > 8 and not _rawmode(image).startswith(_COLOURS):
            return f"{max(bits)} bits in {image.mode}: convert it to grey or to RGB, plane by plane"
    return ""


def _one_image(image: ImageFile.ImageFile) -> bool:
    """Whether what follows the first image is that image once more, smaller, or its mask."""
    if image.format != "TIFF":
        return False
    image.seek(1)
    tags: Any = getattr(image, "tag_v2", {})
    again = bool(tags.get(TIFF_SUBFILE, 0) & 0b101)
    image.seek(0)
    return again
