"""Samples of images in missing states, and what PyTorch makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from denet.data.transforms import evaluation_transform
from denet.graph import RGB_NIR_TIR, Modality, State
from denet.model import DENet

STATES = RGB_NIR_TIR.states


DIM = 6 * 512


Arrays = dict[Modality, NDArray[np.uint8]]


def photograph(random: np.random.Generator) -> NDArray[np.uint8]:
    """(h, w, 3) of some size: blobs of colour under fine grain."""
    width, height = (int(side) for side in random.integers(20, 100, 2))
    coarse = Image.fromarray(random.integers(0, 256, (8, 4, 3), np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
    return np.clip(smooth + random.normal(0, 12, smooth.shape), 0, 255).astype(np.uint8)


def samples_in(states: Sequence[State], seed: int = 0) -> list[Arrays]:
    """A sample in each state; a thermal image has one channel."""
    random = np.random.default_rng(seed)
    return [
        {m: photograph(random)[:, :, 0] if m == "tir" else photograph(random) for m in s.available}
        for s in states
    ]


def mixed_states(count: int, seed: int) -> list[State]:
    random = np.random.default_rng(seed)
    return [STATES[i] for i in random.integers(0, len(STATES), count)]


def of_pytorch(model: DENet, sample: Arrays) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The parts (6, C) and the embedding (dim,) of one sample."""
    images = {
        m: evaluation_transform(model.config, m)(Image.fromarray(image))[None]
        for m, image in sample.items()
    }
    with torch.no_grad():
        output = model(images, RGB_NIR_TIR.state(sample))
    return output.parts[:, 0].numpy(), output.embedding[0].numpy()


def cosine(a: NDArray[Any], b: NDArray[Any]) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def relative_error(found: NDArray[Any], expected: NDArray[Any]) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def assert_as_pytorch(model: DENet, samples: Sequence[Arrays], parts: NDArray[np.float32]) -> None:
    assert parts.shape == (len(samples), 6, 512)
    assert parts.dtype == np.float32
    for sample, found in zip(samples, parts, strict=True):
        expected, _ = of_pytorch(model, sample)
        for part in range(6):
            assert cosine(found[part], expected[part]) >= 0.99999
            assert relative_error(found[part], expected[part]) <= 1e-3


def assert_close(found: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    """Equal but for the order of sums, row by row."""
    assert found.shape == expected.shape
    for a, b in zip(found, expected, strict=True):
        assert relative_error(a, b) <= 1e-5
