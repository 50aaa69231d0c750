"""Small data sets on disk, and configurations to load them with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from denet.config import ModelConfig, Normalization
from denet.data.transforms import (
    AugmentConfig,
)
from denet.graph import RGB_NIR_TIR, Modality

MODALITIES = RGB_NIR_TIR.modalities

# No 8-bit value becomes exactly 0 with these means: what is 0 was erased.
CONFIG = ModelConfig(
    image_size=(32, 16),
    normalization={"tir": Normalization(mean=(0.4444,) * 3, std=(0.31,) * 3, range16=(7000, 9000))},
)
SAME = ModelConfig(image_size=(32, 16))
HEIGHT, WIDTH = CONFIG.image_size
OFF = AugmentConfig(flip=0, pad=0, erase=0)
FOLDERS: dict[Modality, str] = {"rgb": "RGB", "nir": "NI", "tir": "TI"}
SPELLED = tuple(FOLDERS.values())

RGBNT201_TRAIN = ("000007_cam1_0_00", "000007_cam2_0_00", "000003_cam4_1_12")
RGBNT201_TEST = ("000258_cam1_0_00", "000258_cam3_0_01")


def noise(seed: int, size: tuple[int, int] = (14, 22)) -> Image.Image:
    """An image of (width, height) with random content."""
    return Image.fromarray(
        np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    )


def save(path: Path, image: Image.Image) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


def split(folder: Path, *names: str, folders: Sequence[str] = SPELLED) -> None:
    """Samples in the layout of RGBNT201, with another content in every file."""
    for i, name in enumerate(names):
        for j, modality in enumerate(folders):
            save(folder / modality / f"{name}.jpg", noise(10 * i + j))


def wide(folder: Path, *names: str, width: int = 768) -> None:
    """Samples in the layout of RGBNT100."""
    for i, name in enumerate(names):
        save(folder / f"{name}.jpg", noise(i, (width, 128)))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
