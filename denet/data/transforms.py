"""Image -> network input: as in evaluation, and with the augmentation of training.

`runtime.preprocess` gives the same numbers as the evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import sqrt

import msgspec
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from denet.config import ConfigError, ModelConfig
from denet.graph import Modality
from denet.images import Decoded
from denet.pixels import to_rgb

ERASED_RATIO = (0.3, 1 / 0.3)
"""Height by width of an erased box, where such a box fits the image (Zhong et al., 2017)."""


def evaluation_transform(
    config: ModelConfig, modality: Modality
) -> Callable[[Image.Image], Tensor]:
    """The transform of one modality's images for evaluation; it draws nothing at random.

    The image is converted to RGB (one channel becomes three equal ones, an alpha channel is
    dropped) and resized on 8-bit values, bilinearly with antialiasing, without regard to its
    aspect ratio. An EXIF orientation is not applied. `range16` is not applied either: an image
    of 16 bits must be brought to 8 before.

    Args:
        config: says the size (H, W), and mean and std of each modality.
        modality: which images.

    Returns:
        A function from a Pillow image (h, w) of any size and mode to float32 (3, H, W). It can
        be pickled, as the workers of a data loader need.
    """
    normalization = config.normalization_of(modality)
    transform: Callable[[Image.Image], Tensor] = v2.Compose(
        [
            v2.RGB(),
            v2.Resize(
                list(config.image_size), interpolation=v2.InterpolationMode.BILINEAR, antialias=True
            ),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(mean=list(normalization.mean), std=list(normalization.std)),
            v2.ToPureTensor(),
        ]
    )
    return transform


class AugmentConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How training images are varied.

    Attributes:
        flip: probability of a mirror image.
        pad: the image is shifted by up to so many pixels of the network's input in each
            direction; what moves in is black.
        erase: probability that a box is erased.
        erase_area: least and greatest part of the image that the box covers.
        brightness: brightness is multiplied by 1 - brightness to 1 + brightness.
        contrast: the same for contrast.
    """

    flip: float = 0.5
    pad: int = 10
    erase: float = 0.5
    erase_area: tuple[float, float] = (0.02, 0.4)
    brightness: float = 0.0
    contrast: float = 0.0

    def __post_init__(self) -> None:
        for name in ("flip", "erase", "brightness", "contrast"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be in 0..1, not {value}")
        if self.pad < 0:
            raise ValueError(f"pad must not be negative, not {self.pad}")
        least, greatest = self.erase_area
        if not 0 < least <= greatest <= 1:
            raise ValueError(
                "erase_area must be two parts of the image, above 0, at most 1 and the greater "
                f"last, not {list(self.erase_area)}"
            )


class TrainingTransform:
    """The images of one sample to network input, varied at random.

    The geometric part (mirror image, shift, erased box) is drawn once for a sample and is the
    same in all its modalities, whose features describe the same places; brightness and contrast
    are drawn for each modality. With everything at 0 it is `evaluation_transform`, bit for bit.

    Attributes:
        graph: of the modalities of the model.
    """

    def __init__(self, config: ModelConfig, augment: AugmentConfig) -> None:
        """
        Raises:
            ConfigError: images are shifted by more than their size.
        """
        if augment.pad >= min(config.image_size):
            raise ConfigError(
                f"pad must be less than the image size {list(config.image_size)}, not {augment.pad}"
            )
        self.graph = config.graph
        self._size = config.image_size
        self._augment = augment
        modalities = self.graph.modalities
        self._ranges = {m: config.normalization_of(m).range16 for m in modalities}
        self._normalize = {m: evaluation_transform(config, m) for m in modalities}

    def __call__(
        self, images: Mapping[Modality, Decoded], generator: torch.Generator
    ) -> dict[Modality, Tensor]:
        """Network input (3, H, W) float32 for each of `images`, which may be of any size.

        What is drawn depends on `generator` alone, not on which modalities are given.

        Raises:
            PixelError: nobody has said what the values of an image mean.
        """
        (height, width), augment = self._size, self._augment
        modalities = self.graph.modalities
        # All numbers are drawn, used or not: one setting does not change what another draws.
        mirrored, down, right, erased, area, ratio, top, left, *light = torch.rand(
            8 + 2 * len(modalities), generator=generator, dtype=torch.float64
        ).tolist()
        shift = [int(u * (2 * augment.pad + 1)) - augment.pad for u in (down, right)]
        box = _box(self._size, _between(area, *augment.erase_area), ratio, top, left)
        factors = dict(zip(modalities, zip(light[::2], light[1::2], strict=True), strict=True))

        out: dict[Modality, Tensor] = {}
        for modality, image in images.items():
            brightness, contrast = factors[modality]
            varied = to_rgb(image, self._ranges[modality])
            varied = functional.resize(varied, [height, width])
            if augment.brightness:
                factor = _between(brightness, 1 - augment.brightness, 1 + augment.brightness)
                varied = functional.adjust_brightness(varied, factor)
            if augment.contrast:
                factor = _between(contrast, 1 - augment.contrast, 1 + augment.contrast)
                varied = functional.adjust_contrast(varied, factor)
            if mirrored < augment.flip:
                varied = functional.horizontal_flip(varied)
            # A crop that reaches over the border pads there with black.
            varied = functional.crop(varied, *shift, height, width)
            tensor = self._normalize[modality](varied)
            if erased < augment.erase:
                # Zero is the mean of the normalized images.
                tensor = functional.erase(tensor, *box, torch.zeros(()))
            out[modality] = tensor
        return out


def _between(u: float, low: float, high: float) -> float:
    return low + u * (high - low)


def _box(
    size: tuple[int, int], area: float, ratio: float, top: float, left: float
) -> tuple[int, int, int, int]:
    """A box (top, left, height, width) that covers about `area` of an image of `size` (H, W).

    `ratio`, `top` and `left` are numbers in [0, 1) that choose among what is possible. Ratios
    at which the box would not fit are excluded beforehand, so nothing is drawn in vain.
    """
    pixels = area * size[0] * size[1]
    fits = pixels / size[1] ** 2, size[0] ** 2 / pixels
    low, high = (min(max(r, fits[0]), fits[1]) for r in ERASED_RATIO)
    by = low * (high / low) ** ratio
    height = min(max(round(sqrt(pixels * by)), 1), size[0])
    width = min(max(round(sqrt(pixels / by)), 1), size[1])
    return int(top * (size[0] - height + 1)), int(left * (size[1] - width + 1)), height, width
