"""A setting and batches that rivals are built for and trained on in seconds."""

from __future__ import annotations

import msgspec
import torch
from torch import Tensor

from denet.config import ModelConfig
from denet.graph import RGB_NIR_TIR, Modality
from denet.recipe import Recipe, TrainConfig
from denet.rivals.rival import Setting

IDENTITIES, EACH = 3, 3
SIZE = (32, 16)

RECIPE = Recipe(
    model=ModelConfig(backbone="resnet10", image_size=SIZE, cmft_width=8, dem_channels=4),
    train=TrainConfig(
        identities=IDENTITIES, instances=EACH, pretrained=False, workers=0, optimizer="adamw",
        lr=1e-3, epochs=2, milestones=(1,),
    ),
)  # fmt: skip
SETTING = Setting(RECIPE, IDENTITIES)


def with_backbone(name: str) -> Setting:
    """The same setting with another backbone."""
    model = msgspec.structs.replace(RECIPE.model, backbone=name)
    return Setting(msgspec.structs.replace(RECIPE, model=model), IDENTITIES)


def batch(seed: int = 0) -> tuple[dict[Modality, Tensor], Tensor]:
    """Images of some identities, each a pattern of its own under noise, and their labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(IDENTITIES).repeat_interleave(EACH)
    images = {}
    for m in RGB_NIR_TIR.modalities:
        patterns = torch.randn(IDENTITIES, 3, *SIZE, generator=generator)
        noise = torch.randn(len(labels), 3, *SIZE, generator=generator)
        images[m] = patterns[labels] + 0.5 * noise
    return images, labels


def double(*shape: int, seed: int = 0) -> Tensor:
    """Numbers from a normal distribution in float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
