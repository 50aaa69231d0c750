"""Image -> network input, as in evaluation; `runtime.preprocess` gives the same numbers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from denet.config import ModelConfig
from denet.graph import Modality


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
