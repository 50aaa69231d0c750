"""Preprocessing gives the numbers of torchvision."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from denet.config import ModelConfig
from denet.data.transforms import evaluation_transform
from denet.graph import RGB_NIR_TIR, Modality
from tests.runtime.pictures import (
    CONFIG,
    MODES,
    PREPROCESS,
    TRUTH,
    noise,
    picture,
    preprocessor,
    truth,
)

MODALITIES = RGB_NIR_TIR.modalities


HEIGHT, WIDTH = CONFIG.image_size


sides = st.integers(1, 300)


seeds = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("modality", MODALITIES)
def test_every_8_bit_value_gives_the_numbers_of_torchvision(modality: Modality) -> None:
    values = np.arange(HEIGHT * WIDTH, dtype=np.uint8).reshape(HEIGHT, WIDTH)
    image = np.stack([values, values[::-1], values[:, ::-1]], axis=2)
    assert np.array_equal(PREPROCESS(image, modality), truth(Image.fromarray(image), modality))


@settings(deadline=None, max_examples=150)
@given(height=sides, width=sides, seed=seeds, modality=st.sampled_from(MODALITIES))
@example(height=1, width=1, seed=0, modality="rgb")
@example(height=1, width=300, seed=0, modality="nir")
@example(height=300, width=1, seed=0, modality="tir")
@example(height=HEIGHT, width=WIDTH, seed=0, modality="rgb")
@example(height=WIDTH, width=HEIGHT, seed=0, modality="rgb")
@example(height=HEIGHT, width=WIDTH + 1, seed=0, modality="rgb")
def test_colour_images_of_any_size_give_the_numbers_of_torchvision(
    height: int, width: int, seed: int, modality: Modality
) -> None:
    image = noise((height, width, 3), seed)
    found = PREPROCESS(image, modality)
    assert found.shape == (3, HEIGHT, WIDTH)
    assert found.dtype == np.float32
    assert np.array_equal(found, truth(Image.fromarray(image), modality))


@settings(deadline=None, max_examples=100)
@given(height=sides, width=sides, seed=seeds)
def test_grey_images_of_any_size_give_the_numbers_of_torchvision(
    height: int, width: int, seed: int
) -> None:
    grey = noise((height, width), seed)
    expected = truth(Image.fromarray(grey), "tir")
    assert np.array_equal(PREPROCESS(grey, "tir"), expected)
    assert np.array_equal(PREPROCESS(grey[:, :, None], "tir"), expected)
    assert np.array_equal(PREPROCESS(Image.fromarray(grey), "tir"), expected)


@settings(deadline=None, max_examples=20)
@given(height=st.integers(1, 80), width=st.integers(1, 80), seed=seeds)
def test_other_network_sizes_give_the_numbers_of_torchvision(
    height: int, width: int, seed: int
) -> None:
    config = ModelConfig(image_size=(height, width))
    image = Image.fromarray(noise((40, 30, 3), seed))
    expected = evaluation_transform(config, "rgb")(image).numpy()
    assert np.array_equal(preprocessor(config)(image, "rgb"), expected)


@pytest.mark.parametrize("mode", MODES)
def test_pillow_images_of_every_8_bit_mode_give_the_numbers_of_torchvision(mode: str) -> None:
    image = picture(mode)
    assert image.mode == mode
    before = image.tobytes()
    assert np.array_equal(PREPROCESS(image, "nir"), truth(image, "nir"))
    assert image.tobytes() == before, "the caller's image was changed"


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        *((f"{mode}.png", mode) for mode in ("RGB", "L", "RGBA", "P", "1", "LA")),
        *((f"{mode}.jpg", mode) for mode in ("RGB", "L", "CMYK")),
        ("P.gif", "P"),
        ("RGB.bmp", "RGB"),
        ("CMYK.tiff", "CMYK"),
    ],
)
@pytest.mark.parametrize("kind", [str, Path])
def test_files_give_the_numbers_of_torchvision(
    tmp_path: Path, name: str, mode: str, kind: type
) -> None:
    path = tmp_path / name
    picture(mode).save(path)
    with Image.open(path) as image:
        expected = truth(image)
    assert np.array_equal(PREPROCESS(kind(path), "rgb"), expected)


@pytest.mark.parametrize("name", ["transparent.png", "transparent.gif"])
def test_a_palette_with_a_transparent_colour_gives_the_numbers_of_torchvision(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    picture("P").save(path, transparency=3)
    with Image.open(path) as image:
        expected = truth(image)
    assert np.array_equal(PREPROCESS(path, "rgb"), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_exif_orientation_is_applied_neither_here_nor_by_torchvision(
    tmp_path: Path, orientation: int
) -> None:
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture("RGB").save(path, exif=exif)
    with Image.open(path) as image:
        assert image.getexif()[0x0112] == orientation
        expected = truth(image)
        unturned = truth(Image.fromarray(np.asarray(image)))
    assert np.array_equal(PREPROCESS(path, "rgb"), expected)
    assert np.array_equal(expected, unturned)


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[::-1],
        lambda a: a[:, ::-1],
        lambda a: a[:, :, ::-1],
        lambda a: a[::3, 1::2],
        lambda a: a.transpose(1, 0, 2),
        lambda a: np.asfortranarray(a),
        lambda a: a[5:40, 7:30, 1],
        lambda a: a[5:40, 7:30, 1:2],
        lambda a: np.broadcast_to(a[:1, :1], (9, 7, 3)),
    ],
)
def test_arrays_that_are_not_contiguous_are_read_as_they_look(view: Any) -> None:
    array = view(noise((60, 44, 3)))
    expected = truth(Image.fromarray(np.array(np.squeeze(array), order="C")))
    assert np.array_equal(PREPROCESS(array, "rgb"), expected)


def test_an_array_is_not_changed() -> None:
    array = noise((60, 44, 3))
    array.setflags(write=False)
    PREPROCESS(array, "rgb")
    assert np.array_equal(array, noise((60, 44, 3)))


def test_out_is_written_in_place_and_nothing_around_it() -> None:
    batch = np.full((3, 3, HEIGHT, WIDTH), np.nan, np.float32)
    image = picture("RGB")
    returned = PREPROCESS(image, "nir", batch[1])
    assert np.shares_memory(returned, batch)
    assert np.array_equal(batch[1], truth(image, "nir"))
    assert np.isnan(batch[[0, 2]]).all()


def test_out_may_be_a_strided_view() -> None:
    wide = np.full((3, HEIGHT, WIDTH, 2), np.nan, np.float32)
    image = picture("RGB")
    PREPROCESS(image, "rgb", wide[..., 1])
    assert np.array_equal(wide[..., 1], truth(image))
    assert np.isnan(wide[..., 0]).all()


def test_the_transform_can_be_sent_to_the_workers_of_a_data_loader() -> None:
    image = picture("RGB")
    copy = pickle.loads(pickle.dumps(TRUTH["tir"]))
    assert np.array_equal(copy(image).numpy(), truth(image, "tir"))
