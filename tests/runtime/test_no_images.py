"""What is no image is refused by name."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, features

from runtime import ImageError
from tests.runtime.pictures import PREPROCESS, noise, picture


@pytest.mark.parametrize(
    ("array", "named"),
    [
        (np.zeros((0, 0), np.uint8), "(0, 0)"),
        (np.zeros((0, 5, 3), np.uint8), "(0, 5, 3)"),
        (np.zeros((5, 0, 1), np.uint16), "(5, 0, 1)"),
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.zeros((4, 4), np.int64), "int64"),
        (np.zeros((4, 4), np.bool_), "bool"),
        (np.zeros((4, 4), np.int16), "int16"),
        (np.zeros((4, 4, 2), np.uint8), "(4, 4, 2)"),
        (np.zeros((4, 4, 4), np.uint8), "(4, 4, 4)"),
        (np.zeros((3, 4, 5), np.uint8), "(3, 4, 5)"),
        (np.zeros((12,), np.uint8), "(12,)"),
        (np.zeros((), np.uint8), "()"),
        (np.zeros((1, 4, 4, 3), np.uint8), "(1, 4, 4, 3)"),
    ],
)
def test_arrays_that_are_no_image_are_refused(array: NDArray[Any], named: str) -> None:
    with pytest.raises(ImageError) as refusal:
        PREPROCESS(array, "rgb")
    assert named in str(refusal.value)


def test_an_empty_pillow_image_is_refused() -> None:
    with pytest.raises(ImageError, match="0x0"):
        PREPROCESS(Image.new("RGB", (0, 0)), "rgb")


def jpeg() -> bytes:
    stream = io.BytesIO()
    picture("RGB").save(stream, "jpeg")
    return stream.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"", b"not an image", jpeg()[: len(jpeg()) // 2], jpeg()[:20]],
    ids=["empty", "text", "truncated", "header-only"],
)
def test_files_that_are_no_image_are_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError) as refusal:
        PREPROCESS(path, "rgb")
    assert str(path) in str(refusal.value)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_a_damaged_avif_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "broken.avif"
    picture("RGB").save(path)
    content = bytearray(path.read_bytes())
    at = content.index(b"mdat") + 4  # the compressed image
    content[at : at + 20] = bytes(20)
    path.write_bytes(content)
    with pytest.raises(ImageError) as refusal:
        PREPROCESS(path, "rgb")
    assert str(path) in str(refusal.value)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as refusal:
        PREPROCESS(tmp_path / "nowhere.jpg", "rgb")
    assert str(tmp_path / "nowhere.jpg") in str(refusal.value)


def test_a_directory_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as refusal:
        PREPROCESS(tmp_path, "rgb")
    assert str(tmp_path) in str(refusal.value)


def test_a_path_that_no_file_can_have_is_refused() -> None:
    for path in ("a\0b.jpg", "x" * 5000):
        with pytest.raises(ImageError):
            PREPROCESS(path, "rgb")


def test_a_pillow_image_whose_file_is_truncated_is_refused() -> None:
    lazy = Image.open(io.BytesIO(jpeg()[: len(jpeg()) // 2]))
    with pytest.raises(ImageError):
        PREPROCESS(lazy, "rgb")


def files_to_damage() -> list[tuple[str, bytes]]:
    found = []
    for kind, mode in [("png", "RGB"), ("png", "P"), ("jpeg", "L"), ("tiff", "RGB"), ("bmp", "L")]:
        stream = io.BytesIO()
        picture(mode, (9, 11)).save(stream, kind)
        found.append((kind, stream.getvalue()))
    thermal = io.BytesIO()
    Image.fromarray(noise((11, 9)).astype(np.uint16)).save(thermal, "png")
    return [*found, ("png", thermal.getvalue())]


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
@settings(deadline=None, max_examples=150)
@given(st.data())
def test_a_damaged_file_is_read_or_refused_but_never_another_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    kind, content = data.draw(st.sampled_from(files_to_damage()))
    damaged = bytearray(content[: data.draw(st.integers(0, len(content)))])
    # Most of what can go wrong is decided by the headers, at the beginning.
    for at in data.draw(st.lists(st.integers(0, 79), max_size=6)):
        if at < len(damaged):
            damaged[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / f"damaged.{kind}"
    path.write_bytes(damaged)
    try:
        found = PREPROCESS(path, "rgb")
    except ImageError:
        return
    assert np.isfinite(found).all()
