"""Samples as tensors, through the processes of a loader, and as the camera node sees them."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from denet.data.dataset import EvaluationSet, TrainingSet
from denet.data.records import DataError, open_data
from denet.data.sampler import Draw, IdentitySampler
from denet.data.transforms import (
    AugmentConfig,
    TrainingTransform,
    evaluation_transform,
)
from denet.graph import RGB_NIR_TIR, Modality
from denet.pixels import to_rgb
from runtime import preprocess
from runtime.bundle.manifest import NormalizationSpec as Normalized
from runtime.bundle.manifest import Preprocessing
from tests.denet.data.sets import (
    CONFIG,
    HEIGHT,
    OFF,
    RGBNT201_TEST,
    WIDTH,
    generator,
    noise,
    save,
    split,
    truncate,
)

MODALITIES = RGB_NIR_TIR.modalities


def test_an_identity_without_a_class_is_refused(rgbnt201: Path) -> None:
    data = open_data(rgbnt201)
    with pytest.raises(DataError, match="000007_cam1_0_00: its identity 7"):
        TrainingSet(data.train, {3: 0}, TrainingTransform(CONFIG, OFF), seed=0)


@pytest.fixture
def many(tmp_path: Path) -> Path:
    split(tmp_path / "train", *(f"{i:06d}_cam{c}_0_00" for i in (4, 2, 9) for c in (1, 2, 3)))
    return tmp_path


def training_set(root: Path, seed: int = 0) -> TrainingSet:
    data = open_data(root)
    augment = AugmentConfig(pad=5, brightness=0.2)
    return TrainingSet(data.train, data.labels(), TrainingTransform(CONFIG, augment), seed)


Loaded = list[tuple[dict[Modality, Tensor], Tensor, Tensor]]


def load(data: TrainingSet, workers: int, epochs: range) -> list[Loaded]:
    sampler = IdentitySampler(data.labels, identities=2, instances=2, seed=0)
    loader = DataLoader(
        data, batch_sampler=sampler, num_workers=workers, persistent_workers=workers > 0
    )
    found = []
    for epoch in epochs:
        sampler.set_epoch(epoch)
        found.append(list(loader))
        assert len(found[-1]) == len(loader)
    return found


def test_batches_do_not_depend_on_workers_or_on_the_epochs_before(many: Path) -> None:
    data = training_set(many)
    alone, workers = load(data, 0, range(3)), load(data, 2, range(3))
    (resumed,) = load(data, 0, range(2, 3))
    for one, two in [*zip(alone, workers, strict=True), (resumed, alone[2])]:
        for (images, labels, cameras), (images2, labels2, cameras2) in zip(one, two, strict=True):
            assert images["tir"].shape == (4, 3, HEIGHT, WIDTH)
            assert torch.equal(labels, labels2)
            assert torch.equal(cameras, cameras2)
            for modality in MODALITIES:
                assert torch.equal(images[modality], images2[modality])


def test_an_item_is_drawn_anew_for_each_seed_epoch_and_place(many: Path) -> None:
    data = training_set(many)
    assert data.labels == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    images, label, camera = data[Draw(4, 0, 0)]
    assert (label, camera) == (1, 1)
    others = [
        data[Draw(4, 1, 0)],
        data[Draw(4, 0, 1)],
        training_set(many, seed=1)[Draw(4, 0, 0)],
    ]
    for other in others:
        assert not torch.equal(images["rgb"], other[0]["rgb"])
    again = data[Draw(4, 0, 0)]
    assert all(torch.equal(images[m], again[0][m]) for m in MODALITIES)


def load_for_training(root: Path, workers: int) -> None:
    load(training_set(root), workers, range(3))


def load_for_evaluation(root: Path, workers: int) -> None:
    list(DataLoader(EvaluationSet(open_data(root).train, CONFIG), num_workers=workers))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("loading", [load_for_training, load_for_evaluation])
def test_an_unreadable_image_is_named_through_the_workers_too(
    many: Path, loading: Callable[[Path, int], None], workers: int
) -> None:
    path = many / "train/NI/000002_cam2_0_00.jpg"
    truncate(path)
    with pytest.raises(DataError) as refusal:
        loading(many, workers)
    # The loader ends its workers at once if it is let go now, and not by a garbage collection.
    traceback.clear_frames(refusal.tb)
    message = str(refusal.value)
    assert message.startswith(f"{path}: cannot be read: ")
    assert "\n" not in message


def test_evaluation_sees_the_numbers_of_the_camera_node(tmp_path: Path) -> None:
    """Of 8-bit and 16-bit images alike, and of the modalities that are there."""
    raw = np.random.default_rng(0).integers(6000, 10000, (22, 14), np.uint16)
    for name in RGBNT201_TEST:
        save(tmp_path / f"test/RGB/{name}.jpg", noise(1))
        save(tmp_path / f"test/TI/{name}.png", Image.fromarray(raw))
    save(tmp_path / f"test/NI/{RGBNT201_TEST[0]}.tiff", Image.fromarray(raw))
    node = preprocess.Preprocessor(
        Preprocessing(
            height=HEIGHT,
            width=WIDTH,
            interpolation="bilinear",
            modalities={
                m: Normalized(mean=n.mean, std=n.std, range16=n.range16)
                for m in MODALITIES
                for n in [CONFIG.normalization_of(m)]
            },
        )
    )
    records = open_data(tmp_path).query
    assert [RGB_NIR_TIR.state(r.images).name for r in records] == ["rgb+nir+tir", "rgb+tir"]
    evaluation = EvaluationSet(records, CONFIG)
    assert len(evaluation) == 2
    untouched = TrainingTransform(CONFIG, OFF)
    for i, record in enumerate(records):
        images, index = evaluation[i]
        assert index == i
        assert tuple(images) == RGB_NIR_TIR.state(record.images).available
        trained = untouched(record.open(), generator(0))
        for modality, ref in record.images.items():
            range16 = CONFIG.normalization_of(modality).range16
            eight_bits = preprocess.to_pillow(ref.path, range16).convert("RGB")
            expected = evaluation_transform(CONFIG, modality)(eight_bits)
            assert torch.equal(images[modality], expected)
            assert torch.equal(trained[modality], expected)
            # How near the two ways to normalize are is tested with the node's preprocessing.
            node_sees = node(ref.path, modality)
            np.testing.assert_allclose(images[modality].numpy(), node_sees, rtol=0, atol=1e-6)


@settings(deadline=None, max_examples=50)
@given(st.tuples(st.integers(0, 65535), st.integers(0, 65535)).filter(lambda r: r[0] < r[1]))
def test_every_16_bit_value_becomes_the_8_bit_value_of_the_camera_node(
    range16: tuple[int, int],
) -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    big = Image.frombytes("I;16B", (256, 256), values.astype(">u2").tobytes())
    expected = np.asarray(preprocess.to_pillow(values, range16).convert("RGB"))
    for image in (Image.fromarray(values), big, Image.fromarray(values.astype(np.int32))):
        assert image.mode.startswith("I")
        assert np.array_equal(to_rgb(image, range16), expected)
