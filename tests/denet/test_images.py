"""Image files: what their content says, with the depth that they have, and nothing else."""

from __future__ import annotations

import io
import os
import socket
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from denet.errors import DenetError
from denet.images import EXTENSIONS, MOST_PIXELS, READERS, read_image
from denet.pixels import FULL, PixelError, to_grey_or_rgb, to_rgb
from runtime.node.sources.folder import read_pixels
from runtime.preprocess import ImageError, to_pillow
from tests.denet.pictures import write_by_ffmpeg, write_png

HEIGHT, WIDTH = 20, 31


class RefusedError(DenetError):
    pass


def refused(path: Path) -> str:
    with pytest.raises(RefusedError) as refusal:
        read_image(path, RefusedError)
    message = str(refusal.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def deep(channels: int) -> NDArray[np.uint16]:
    shape = (HEIGHT, WIDTH, channels) if channels else (HEIGHT, WIDTH)
    return np.random.default_rng(0).integers(0, 65536, shape, np.uint16)


def shown(values: NDArray[Any]) -> NDArray[Any]:
    """Without alpha; one channel without an axis."""
    if values.ndim == 2:
        return values
    return values[:, :, 0] if values.shape[2] == 2 else values[:, :, :3]


# Formats


def test_a_file_is_what_its_content_says_whatever_it_is_called(tmp_path: Path) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8))
    for kind in READERS:
        path = tmp_path / f"{kind}.name"
        picture.save(path, kind, **({"lossless": True} if kind == "WebP" else {}))
        found = to_rgb(read_image(path, RefusedError), FULL)
        with Image.open(path) as file:
            assert np.array_equal(found, file.convert("RGB"))


@pytest.mark.parametrize("name", ["person.png", "person.eps", "person.jpg"])
def test_postscript_starts_no_program(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []
    for module, call in ((subprocess, "Popen"), (os, "posix_spawn"), (os, "system"), (os, "fork")):
        monkeypatch.setattr(module, call, lambda *given, **_: started.append(given))
    path = tmp_path / name
    path.write_text(
        "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    )
    assert "not an image" in refused(path)
    with pytest.raises(ImageError):
        to_pillow(path, FULL)
    assert not started


def test_no_reader_is_loaded_but_that_of_the_format(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "a.jpg")
    code = (
        "import sys; from pathlib import Path; from denet.images import read_image;"
        f"read_image(Path({str(tmp_path / 'a.jpg')!r}), ValueError);"
        "assert 'PIL.JpegImagePlugin' in sys.modules;"
        "assert not {'PIL.EpsImagePlugin', 'PIL.PdfImagePlugin'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_other_things_than_files_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "socket.png"))
        for path in (tmp_path / "pipe.png", tmp_path / "socket.png", Path("/dev/zero"), tmp_path):
            assert "cannot be read" in refused(path)


@pytest.mark.parametrize("kind", ["png", "bmp", "tiff", "ppm", "gif"])
def test_an_image_that_says_it_is_enormous_is_refused_before_it_is_decoded(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"huge.{kind}"
    side = 60_000
    if kind == "png":
        header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
        chunk = b"IHDR" + header
        path.write_bytes(
            b"\x89PNG\r\n\x1a\n\0\0\0\r"
            + chunk
            + struct.pack(">I", zlib.crc32(chunk))
            + b"\0\0\0\0IDAT"
            + struct.pack(">I", zlib.crc32(b"IDAT"))
        )
    elif kind == "ppm":
        path.write_bytes(b"P5 60000 60000 255\n")
    else:
        stream = io.BytesIO()
        Image.new("L", (9, 9)).save(stream, kind)
        content = bytearray(stream.getvalue())
        if kind == "bmp":
            content[18:26] = struct.pack("<II", side, side)
        elif kind == "gif":
            content[6:10] = struct.pack("<HH", side, side)
        else:
            for tag in (256, 257):
                at = content.index(struct.pack("<HH", tag, 4))
                content[at + 8 : at + 12] = struct.pack("<I", side)
        path.write_bytes(content)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", None)
    message = refused(path)
    assert f"{side}x{side}" in message
    assert str(MOST_PIXELS) in message


@pytest.mark.parametrize("kind", ["tiff", "gif", "webp", "png"])
def test_a_file_with_several_images_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"several.{kind}"
    pages = [Image.fromarray(np.full((9, 7), 40 * i, np.uint8)) for i in range(4)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    assert "several images" in refused(path)


def test_a_tiff_with_a_thumbnail_is_one_image(tmp_path: Path) -> None:
    path = tmp_path / "a.tiff"
    whole = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))
    small = whole.resize((4, 4))
    small.encoderinfo = {"tiffinfo": {254: 1}}  # type: ignore[attr-defined]
    whole.save(path, save_all=True, append_images=[small])
    assert np.array_equal(np.asarray(read_image(path, RefusedError)), np.asarray(whole))


# Depth


@pytest.mark.parametrize("channels", [0, 2, 3, 4])
@pytest.mark.parametrize("interlaced", [False, True])
def test_a_png_keeps_its_16_bits(tmp_path: Path, channels: int, interlaced: bool) -> None:
    values = deep(channels)
    path = write_png(tmp_path / "a.png", values, interlaced=interlaced)
    assert np.array_equal(np.asarray(read_image(path, RefusedError)), shown(values))
    assert np.array_equal(read_pixels(path), shown(values))
    expected = np.rint(np.clip((shown(values) - 7000.0) * 255 / 2000, 0, 255))
    assert np.array_equal(np.asarray(to_pillow(path, (7000, 9000))), expected)


@pytest.mark.parametrize("pred", ["none", "sub", "up", "avg", "paeth", "mixed"])
@pytest.mark.parametrize(("form", "channels"), [("rgb48be", 3), ("rgba64be", 4), ("ya16be", 2)])
def test_every_filter_of_a_deep_png_is_undone(
    tmp_path: Path, pred: str, form: str, channels: int
) -> None:
    values = deep(channels)
    path = write_by_ffmpeg(tmp_path / "a.png", values, form, pred=pred)
    assert np.array_equal(np.asarray(read_image(path, RefusedError)), shown(values))


@pytest.mark.parametrize("compression", ["raw", "lzw", "deflate", "packbits"])
@pytest.mark.parametrize(("form", "channels"), [("rgb48le", 3), ("rgba64le", 4), ("gray16le", 0)])
def test_a_tiff_keeps_its_16_bits(
    tmp_path: Path, compression: str, form: str, channels: int
) -> None:
    values = deep(channels)
    path = write_by_ffmpeg(tmp_path / "a.tiff", values, form, compression_algo=compression)
    assert np.array_equal(np.asarray(read_image(path, RefusedError)), shown(values))


@pytest.mark.parametrize(
    ("header", "pixel"),
    [(b"P5 1 1 16383\n", b"\1\2"), (b"P6 1 1 65535\n", b"\1\2" * 3), (b"P2 1 1 1023\n", b"7 ")],
)
def test_a_pgm_whose_values_would_be_stretched_is_refused(
    tmp_path: Path, header: bytes, pixel: bytes
) -> None:
    (tmp_path / "a.pgm").write_bytes(header + pixel)
    assert "convert it" in refused(tmp_path / "a.pgm")


def test_a_pgm_of_16_bits_is_read(tmp_path: Path) -> None:
    values = deep(0)
    (tmp_path / "a.pgm").write_bytes(b"P5 31 20 65535\n" + values.astype(">u2").tobytes())
    assert np.array_equal(np.asarray(read_image(tmp_path / "a.pgm", RefusedError)), values)
    assert np.array_equal(read_pixels(tmp_path / "a.pgm"), values)


KELVIN = np.linspace(290, 310, HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH)


@pytest.mark.parametrize(
    ("values", "range16"),
    [
        (KELVIN, (285.5, 312.25)),
        ((KELVIN - 290) / 20, (0, 1)),
        (KELVIN - 300, (-10, 10)),
        (np.rint(KELVIN * 1000).astype(np.int32), (290_000, 310_000)),
    ],
    ids=["kelvin", "unit", "celsius", "millikelvin"],
)
def test_values_of_32_bits_are_taken_with_a_range_and_refused_without(
    tmp_path: Path, values: NDArray[Any], range16: tuple[float, float]
) -> None:
    path = tmp_path / "thermal.tif"
    Image.fromarray(values).save(path)
    low, high = range16
    expected = np.rint(np.clip((values.astype(np.float64) - low) * 255 / (high - low), 0, 255))
    image = read_image(path, RefusedError)
    assert np.array_equal(to_grey_or_rgb(image, range16), expected)
    assert np.array_equal(to_pillow(path, range16), expected)
    assert np.array_equal(read_pixels(path, range16), expected)
    with pytest.raises(PixelError, match=r"thermal\.tif: 32-bit .* say which are black and white"):
        to_grey_or_rgb(image, FULL)
    with pytest.raises(ImageError, match=r"thermal\.tif: 32-bit"):
        to_pillow(path, FULL)


def test_whole_numbers_of_32_bits_that_fit_into_16_are_those(tmp_path: Path) -> None:
    path = tmp_path / "thermal.tif"
    values = deep(0)
    Image.fromarray(values.astype(np.int32)).save(path)
    assert np.array_equal(to_pillow(path, FULL), to_pillow(values, FULL))
    assert np.array_equal(read_pixels(path), values)


def test_values_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    values = KELVIN.copy()
    values[3, 4] = np.nan
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match="no numbers"):
        to_pillow(tmp_path / "a.tif", (290, 310))


def test_a_deep_tiff_whose_least_values_are_white_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(deep(0)).save(path, tiffinfo={262: 0})
    assert "white" in refused(path)


def test_the_extensions_are_in_lower_case() -> None:
    assert all(each == each.lower() and each.startswith(".") for each in EXTENSIONS)
