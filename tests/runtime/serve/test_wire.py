"""Images in a request: exactly the pixels that were given, or a refusal."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from runtime.preprocess import ImageError, to_pillow
from runtime.serve.wire import MISSING, pack, unpack
from tests.paths import SAMPLES


def npy(array: object) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def sides(channels: st.SearchStrategy[tuple[int, ...]]) -> st.SearchStrategy[tuple[int, ...]]:
    return st.tuples(st.integers(1, 9), st.integers(1, 9), channels).map(lambda x: (*x[:2], *x[2]))


@given(
    st.sampled_from([np.uint8, np.dtype("<u2")]).flatmap(
        lambda dtype: arrays.arrays(dtype, sides(st.sampled_from([(), (1,), (3,)])))
    )
)
def test_arrays_come_as_they_were_sent(array: np.ndarray) -> None:
    found = unpack(npy(array), "x")
    assert isinstance(found, np.ndarray)
    assert found.dtype == array.dtype
    assert np.array_equal(found, array)


@given(arrays.arrays(np.uint8, sides(st.sampled_from([(), (3,)]))))
def test_pixels_of_a_client_come_as_they_were(array: np.ndarray) -> None:
    image = Image.fromarray(array)
    assert np.array_equal(unpack(pack(image, None), "x"), array)


def test_a_file_of_an_image_comes_as_it_is() -> None:
    path: Path = SAMPLES / "RGB" / "000001_cam1_0_00.jpg"
    found = unpack(path.read_bytes(), "x")
    assert np.array_equal(to_pillow(found, (0, 65535)), to_pillow(path, (0, 65535)))


def test_a_png_of_16_bits_keeps_them(tmp_path: Path) -> None:
    values = np.arange(24, dtype=np.uint16).reshape(4, 6) * 2000
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "PNG")
    found = unpack(stream.getvalue(), "x")
    assert np.array_equal(to_pillow(found, (1000, 30000)), to_pillow(values, (1000, 30000)))


def test_jpeg_is_near() -> None:
    with Image.open(SAMPLES / "RGB" / "000001_cam1_0_00.jpg") as image:
        found = unpack(pack(image, 95), "x")
        assert np.abs(np.asarray(found, float) - np.asarray(image, float)).mean() < 3


def test_nothing_is_a_missing_modality() -> None:
    assert unpack(MISSING, "x") is None


@pytest.mark.parametrize(
    "content",
    [
        b"no image",
        b"\x93NUMPY",
        npy(np.zeros((2, 2), np.uint8))[:-1],
        npy(np.zeros((2, 2), np.uint8)) + b"0",
        npy(np.zeros((2, 2), np.float32)),
        npy(np.zeros((2, 2), ">u2")),
        npy(np.zeros((2, 2, 4), np.uint8)),
        npy(np.zeros((2,), np.uint8)),
        npy(np.zeros((0, 2), np.uint8)),
        npy(np.zeros((2, 3), np.uint8, order="F")),
        b"\x93NUMPY\x01\x00\xff\xff",
        npy(np.zeros((2, 2), np.uint8)).replace(b"(2, 2)", b"(-2,2)"),
        npy(np.zeros((2, 2), np.uint8)).replace(b"(2, 2), ", b"(2.0,2),"),
        npy(np.zeros((2, 2), np.uint8)).replace(b"(2, 2), }  ", b"(9**9,9)}  "),
        npy(np.zeros((2, 2), np.uint8)).replace(b"|u1", b"|O8"),
    ],
)
def test_what_is_no_image_is_refused(content: bytes) -> None:
    with pytest.raises(ImageError, match="row 3, tir"):
        unpack(content, "row 3, tir")


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\x93NUMPY\x01\x00", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"P5 "]),
)
def test_any_bytes_are_an_image_or_refused(content: bytes, head: bytes) -> None:
    with suppress(ImageError):
        unpack(head + content, "x")
