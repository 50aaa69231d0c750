"""Augmentation: what is drawn, for which modality, and how often."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from denet.config import ConfigError, ModelConfig, Normalization
from denet.data.transforms import (
    AugmentConfig,
    TrainingTransform,
    evaluation_transform,
)
from denet.graph import RGB_NIR_TIR, Modality
from tests.denet.data.sets import CONFIG, HEIGHT, OFF, SAME, WIDTH, generator, noise

MODALITIES = RGB_NIR_TIR.modalities


def images_of(seed: int = 0, size: tuple[int, int] = (14, 22)) -> dict[Modality, Image.Image]:
    return {m: noise(seed + i, size) for i, m in enumerate(MODALITIES)}


def same_image(seed: int = 0) -> dict[Modality, Image.Image]:
    return dict.fromkeys(MODALITIES, noise(seed))


def plain(images: dict[Modality, Image.Image], config: ModelConfig) -> dict[Modality, Tensor]:
    return {m: evaluation_transform(config, m)(image) for m, image in images.items()}


@pytest.mark.parametrize("size", [(14, 22), (16, 32), (300, 200), (1, 1)])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P"])
def test_without_augmentation_training_sees_what_evaluation_sees(
    size: tuple[int, int], mode: str
) -> None:
    images = {
        m: i.quantize(9) if mode == "P" else i.convert(mode) for m, i in images_of(0, size).items()
    }
    found = TrainingTransform(CONFIG, OFF)(images, generator(0))
    for modality, expected in plain(images, CONFIG).items():
        assert found[modality].dtype == torch.float32
        assert type(found[modality]) is Tensor
        assert torch.equal(found[modality], expected)


def test_the_geometric_part_is_the_same_in_all_modalities() -> None:
    transform = TrainingTransform(SAME, AugmentConfig(pad=5))
    seen = set()
    for seed in range(200):
        rgb, nir, tir = transform(same_image(), generator(seed)).values()
        assert torch.equal(rgb, nir)
        assert torch.equal(rgb, tir)
        seen.add(rgb.numpy().tobytes())
    assert len(seen) > 150


def test_the_same_generator_gives_the_same_images() -> None:
    transform = TrainingTransform(CONFIG, AugmentConfig(pad=5, brightness=0.4, contrast=0.4))
    first, again, other = (transform(images_of(), generator(seed)) for seed in (1, 1, 2))
    for modality in MODALITIES:
        assert torch.equal(first[modality], again[modality])
        assert not torch.equal(first[modality], other[modality])


def test_what_is_drawn_does_not_depend_on_the_modalities_that_are_given() -> None:
    transform = TrainingTransform(CONFIG, AugmentConfig(pad=5, brightness=0.4, contrast=0.4))
    everything = transform(images_of(), generator(3))
    alone = transform({"tir": images_of()["tir"]}, generator(3))
    assert torch.equal(alone["tir"], everything["tir"])


def test_a_flip_mirrors_the_columns_as_often_as_it_should() -> None:
    images = images_of()
    normal = plain(images, CONFIG)
    always = TrainingTransform(CONFIG, AugmentConfig(flip=1, pad=0, erase=0))
    for modality, tensor in always(images, generator(0)).items():
        assert np.array_equal(tensor.numpy(), normal[modality].numpy()[:, :, ::-1])
    often = TrainingTransform(CONFIG, AugmentConfig(flip=0.7, pad=0, erase=0))
    count = sum(
        not torch.equal(often(images, generator(seed))["rgb"], normal["rgb"]) for seed in range(400)
    )
    assert 240 < count < 320


def test_a_shift_is_a_crop_of_the_image_padded_with_black() -> None:
    images = images_of()
    transform = TrainingTransform(CONFIG, AugmentConfig(flip=0, pad=2, erase=0))
    shifted: dict[Modality, dict[bytes, tuple[int, int]]] = {m: {} for m in MODALITIES}
    for modality, image in images.items():
        small = np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))
        padded = np.pad(small, ((2, 2), (2, 2), (0, 0)))
        for top in range(5):
            for left in range(5):
                crop = Image.fromarray(padded[top : top + HEIGHT, left : left + WIDTH])
                expected = evaluation_transform(CONFIG, modality)(crop)
                shifted[modality][expected.numpy().tobytes()] = top, left
    counts: Counter[tuple[int, int]] = Counter()
    for seed in range(500):
        found = transform(images, generator(seed))
        (offset,) = {shifted[m][found[m].numpy().tobytes()] for m in MODALITIES}
        counts[offset] += 1
    assert len(counts) == 25
    assert min(counts.values()) > 5


def box(tensor: Tensor) -> tuple[int, int, int, int]:
    """The box (top, left, height, width) that is zero, which must be all that is zero."""
    zero = (tensor == 0).numpy()
    assert (zero == zero[0]).all()
    rows, columns = np.flatnonzero(zero[0].any(axis=1)), np.flatnonzero(zero[0].any(axis=0))
    height, width = len(rows), len(columns)
    assert zero[0].sum() == height * width
    assert (np.diff(rows) == 1).all()
    assert (np.diff(columns) == 1).all()
    return int(rows[0]), int(columns[0]), height, width


def test_a_box_is_erased_to_the_mean_at_the_same_place_in_all_modalities() -> None:
    images = images_of()
    normal = plain(images, CONFIG)
    transform = TrainingTransform(CONFIG, AugmentConfig(flip=0, pad=0, erase=1))
    boxes = []
    for seed in range(300):
        found = transform(images, generator(seed))
        ((top, left, height, width),) = {box(tensor) for tensor in found.values()}
        for modality, tensor in found.items():
            expected = normal[modality].numpy().copy()
            expected[:, top : top + height, left : left + width] = 0
            assert np.array_equal(tensor.numpy(), expected)
        boxes.append((top, left, top + height, left + width))
    areas = [(b - t) * (r - left) / (HEIGHT * WIDTH) for t, left, b, r in boxes]
    assert 0.01 < min(areas) < 0.04
    assert 0.36 < max(areas) < 0.43
    # Every border is reached, so the box is nowhere kept away from the edge.
    assert min(b[0] for b in boxes) == min(b[1] for b in boxes) == 0
    assert max(b[2] for b in boxes) == HEIGHT
    assert max(b[3] for b in boxes) == WIDTH


def test_a_box_is_erased_as_often_as_it_should() -> None:
    transform = TrainingTransform(CONFIG, AugmentConfig(flip=0, pad=0, erase=0.3))
    count = sum(
        bool((transform(images_of(), generator(seed))["rgb"] == 0).any()) for seed in range(400)
    )
    assert 90 < count < 150


@settings(deadline=None, max_examples=100)
@given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    area=st.floats(0.001, 1),
    seed=st.integers(0, 2**32),
)
def test_an_erased_box_has_its_area_in_images_of_every_shape(
    height: int, width: int, area: float, seed: int
) -> None:
    config = ModelConfig(image_size=(height, width))
    augment = AugmentConfig(flip=0, pad=0, erase=1, erase_area=(area, area))
    found = TrainingTransform(config, augment)({"rgb": noise(0)}, generator(seed))
    _, _, h, w = box(found["rgb"])
    # Each side is rounded by at most half a pixel, and is a pixel at least.
    pixels = area * height * width
    assert (h - 0.5) * (w - 0.5) <= max(pixels, 1, h / 2, w / 2) + 1e-6
    assert (h + 0.5) * (w + 0.5) >= pixels - 1e-6


def test_brightness_and_contrast_are_drawn_for_each_modality() -> None:
    grey = dict.fromkeys(MODALITIES, Image.new("RGB", (WIDTH, HEIGHT), (100, 100, 100)))
    config = ModelConfig(
        image_size=(HEIGHT, WIDTH),
        normalization={m: Normalization(mean=(0,) * 3, std=(1 / 255,) * 3) for m in MODALITIES},
    )
    off = {"flip": 0.0, "pad": 0, "erase": 0.0}
    bright = TrainingTransform(config, AugmentConfig(**off, brightness=0.2))
    levels = []
    for seed in range(100):
        found = bright(grey, generator(seed))
        three = [float(found[m].mean()) for m in MODALITIES]
        assert all(float(t.max() - t.min()) < 1e-3 for t in found.values())
        assert len(set(three)) > 1
        levels += three
    assert 79 <= min(levels) < 83
    assert 117 < max(levels) <= 120.001

    contrast = TrainingTransform(config, AugmentConfig(**off, contrast=0.5))
    halves = np.full((HEIGHT, WIDTH, 3), 80, np.uint8)
    halves[: HEIGHT // 2] = 120
    spreads = []
    for seed in range(100):
        found = contrast(dict.fromkeys(MODALITIES, Image.fromarray(halves)), generator(seed))
        for tensor in found.values():
            assert float(tensor.mean()) == pytest.approx(100, abs=1)
            spreads.append(float(tensor.max() - tensor.min()))
    assert 19 <= min(spreads) < 23
    assert 57 < max(spreads) <= 61


def test_one_setting_does_not_change_what_another_draws() -> None:
    images = images_of()
    erased = AugmentConfig(flip=0, pad=0, erase=1)
    more = msgspec.structs.replace(erased, brightness=0.5, contrast=0.5, flip=0.5)
    for seed in range(20):
        alone = TrainingTransform(CONFIG, erased)(images, generator(seed))
        together = TrainingTransform(CONFIG, more)(images, generator(seed))
        assert box(alone["nir"]) == box(together["nir"])


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("flip", 1.5, "flip must be in 0..1, not 1.5"),
        ("flip", float("nan"), "flip must be"),
        ("erase", -0.1, "erase must be"),
        ("brightness", 2.0, "brightness must be"),
        ("contrast", -1.0, "contrast must be"),
        ("pad", -1, "pad must not be negative"),
        ("erase_area", (0.0, 0.4), "erase_area must be"),
        ("erase_area", (0.5, 0.4), "erase_area must be"),
        ("erase_area", (0.5, 1.4), "erase_area must be"),
    ],
)
def test_impossible_augmentations_are_refused(field: str, value: Any, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        AugmentConfig(**{field: value})
    with pytest.raises(msgspec.ValidationError, match=named):
        msgspec.convert({field: value}, AugmentConfig)
    with pytest.raises(msgspec.ValidationError, match="colour"):
        msgspec.convert({"colour": 1}, AugmentConfig)


def test_a_shift_as_large_as_the_image_is_refused() -> None:
    TrainingTransform(CONFIG, AugmentConfig(pad=15))
    with pytest.raises(ConfigError, match="pad must be less"):
        TrainingTransform(CONFIG, AugmentConfig(pad=16))
