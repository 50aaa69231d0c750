"""Golden inputs: the images of a bundle's canary, and what PyTorch makes of them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from denet.graph import MODALITIES, STATES
from denet.model import DENet
from runtime.preprocess import Preprocessor

SAMPLES = 2


def golden_images(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """`SAMPLES` images, (n, H, W, 3): random blobs under fine grain, as varied as a photograph."""
    random = np.random.default_rng(seed)
    images = np.empty((SAMPLES, height, width, 3), np.uint8)
    for image in images:
        coarse = random.integers(0, 256, (8, 4, 3), np.uint8)
        smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        grain = random.normal(0, 12, image.shape)
        image[:] = np.clip(np.asarray(smooth) + grain, 0, 255)
    return images


def make_canary(model: DENet, preprocess: Preprocessor) -> bytes:
    """The canary file (npz) of `model`, as `runtime.canary` reads it."""
    height, width = model.config.image_size
    # Not the network's size, so that a wrong resize on the device is found as well.
    images = {
        m: golden_images(height * 3 // 4, width * 3 // 4, seed) for seed, m in enumerate(MODALITIES)
    }
    inputs = {
        m: torch.from_numpy(np.stack([preprocess(image, m) for image in images[m]]))
        for m in MODALITIES
    }
    arrays: dict[str, NDArray[Any]] = {f"image_{m}": images[m] for m in MODALITIES}
    with torch.no_grad(), one_thread():
        for state in STATES:
            arrays[f"embedding_{state}"] = model(inputs, state).embedding.numpy()
    return npz(arrays)


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch on one thread: how many share a sum decides its last bits, and so the bytes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def npz(arrays: dict[str, Any]) -> bytes:
    """Arrays as an npz file; equal arrays give equal bytes."""
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()
