"""Images to preprocess, and what torchvision makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from denet.config import ModelConfig, Normalization
from denet.data.transforms import evaluation_transform
from denet.graph import RGB_NIR_TIR, Modality
from runtime.bundle import manifest as schema
from runtime.preprocess import Preprocessor

MODALITIES = RGB_NIR_TIR.modalities


# Another mean and std in each channel: a channel order mixed up would be seen.
CONFIG = ModelConfig(
    image_size=(64, 32),
    normalization={
        "nir": Normalization(mean=(0.1, 0.2, 0.3), std=(0.7, 0.8, 0.9)),
        "tir": Normalization(mean=(0.5, 0.4, 0.3), std=(0.31, 0.17, 0.23), range16=(7000, 9000)),
    },
)


MODES = ("RGB", "L", "RGBA", "P", "CMYK", "1", "LA")


def preprocessor(config: ModelConfig) -> Preprocessor:
    height, width = config.image_size
    return Preprocessor(
        schema.Preprocessing(
            height=height,
            width=width,
            interpolation="bilinear",
            modalities={
                m: schema.NormalizationSpec(mean=n.mean, std=n.std, range16=n.range16)
                for m in MODALITIES
                for n in [config.normalization_of(m)]
            },
        )
    )


PREPROCESS = preprocessor(CONFIG)


TRUTH = {m: evaluation_transform(CONFIG, m) for m in MODALITIES}


def truth(image: Image.Image, modality: Modality = "rgb") -> NDArray[np.float32]:
    return TRUTH[modality](image).numpy()


def noise(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def picture(mode: str, size: tuple[int, int] = (50, 70)) -> Image.Image:
    """An image of `mode` with random content; (width, height)."""
    colours = Image.fromarray(noise((size[1], size[0], 3)))
    if mode == "P":
        return colours.quantize(17)
    if mode in ("RGBA", "LA"):
        image = colours.convert(mode)
        image.putalpha(Image.fromarray(noise((size[1], size[0]), seed=1)))
        return image
    return colours.convert(mode)


def levels(array: NDArray[np.integer], low: int, high: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """The least and the greatest 8-bit level that each 16-bit value may become.

    Exact, in integers: 255 * d / r rounded to the nearest; both differ at exact ties alone.
    """
    d = np.clip(array.astype(np.int64), low, high) - low
    r = high - low
    least = -((r - 510 * d) // (2 * r))
    greatest = (510 * d + r) // (2 * r)
    return least, greatest


def assert_levels(found: Image.Image, array: NDArray[np.integer], low: int, high: int) -> None:
    least, greatest = levels(array, low, high)
    pixels = np.asarray(found).astype(int)
    assert pixels.shape == array.shape
    assert (pixels >= least).all()
    assert (pixels <= greatest).all()
