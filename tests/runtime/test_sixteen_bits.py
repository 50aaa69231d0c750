"""Images of 16 bits: their range is stretched to 8 bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from runtime.bundle import manifest as schema
from runtime.preprocess import Preprocessor, to_pillow
from tests.runtime.pictures import PREPROCESS, assert_levels, levels, truth


def test_every_16_bit_value_becomes_the_nearest_8_bit_level() -> None:
    array = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    assert_levels(to_pillow(array, (0, 65535)), array, 0, 65535)


@settings(deadline=None, max_examples=60)
@given(st.tuples(st.integers(0, 65535), st.integers(0, 65535)).filter(lambda r: r[0] < r[1]))
@example((7000, 9000))
@example((0, 1))
@example((65534, 65535))
@example((0, 510))  # every odd value is an exact tie
@example((0, 47843))  # values so near a tie that float32 takes them for one
def test_a_range_of_16_bit_values_is_stretched_and_the_rest_is_clipped(
    range16: tuple[int, int],
) -> None:
    array = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    assert_levels(to_pillow(array, range16), array, *range16)


@pytest.mark.parametrize("range16", [(0, 65535), (20000, 30000)])
def test_a_16_bit_png_and_its_array_are_the_same_image(
    tmp_path: Path, range16: tuple[int, int]
) -> None:
    array = np.random.default_rng(0).integers(0, 65536, (40, 30), np.uint16)
    path = tmp_path / "thermal.png"
    Image.fromarray(array).save(path)
    with Image.open(path) as image:
        assert image.mode == "I;16"
        assert_levels(to_pillow(image, range16), array, *range16)
    assert_levels(to_pillow(path, range16), array, *range16)
    assert_levels(to_pillow(array[:, :, None], range16), array, *range16)


def test_a_big_endian_16_bit_tiff_is_read(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 65536, (40, 30), np.uint16)
    path = tmp_path / "thermal.tiff"
    Image.frombytes("I;16B", (30, 40), array.astype(">u2").tobytes()).save(path)
    assert_levels(to_pillow(path, (0, 65535)), array, 0, 65535)


def test_a_16_bit_image_takes_the_range_of_its_modality_then_the_way_of_any_other() -> None:
    array = np.random.default_rng(0).integers(6000, 10000, (90, 50), np.uint16)
    for modality, range16 in (("tir", (7000, 9000)), ("nir", (0, 65535))):
        eight_bits = to_pillow(array, range16)  # its levels are tested above; here, the range
        assert np.array_equal(PREPROCESS(array, modality), truth(eight_bits, modality))


def test_16_bit_colour_arrays_are_converted_channel_by_channel() -> None:
    array = np.random.default_rng(0).integers(0, 65536, (20, 10, 3), np.uint16)
    found = np.asarray(to_pillow(array, (0, 65535)))
    for channel in range(3):
        least, _ = levels(array[:, :, channel], 0, 65535)
        assert np.array_equal(found[:, :, channel], least)


def test_the_range_of_a_sensor_goes_before_the_models() -> None:
    spec = schema.Preprocessing(
        height=64,
        width=32,
        interpolation="bilinear",
        modalities={
            "tir": schema.NormalizationSpec(mean=(0, 0, 0), std=(1, 1, 1), range16=(0, 65535)),
        },
    )
    grey = np.random.default_rng(0).integers(0, 256, (64, 32), np.uint8)
    for low, high in ((7000, 9000), (290.25, 310.5)):
        preprocess = Preprocessor(spec, {"tir": (low, high)})
        stored = Image.fromarray((low + grey * ((high - low) / 255)).astype(np.float32))
        assert np.array_equal(preprocess(stored, "tir"), Preprocessor(spec)(grey, "tir"))
