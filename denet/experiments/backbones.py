"""Backbones for the edge, each trained as its family needs it: from the weights that a package
carries where there are some, and for longer from random ones the deeper it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from denet.config import Normalization
from denet.experiments.variants import TrainingVariant, scaled
from denet.recipe import Recipe

HALF = msgspec.to_builtins(Normalization(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)))
"""What EfficientNet-Lite was trained with."""


def longer(times: float) -> Callable[[Recipe], int]:
    """So many times the epochs that the recipe has for branches."""
    return lambda recipe: round(times * recipe.train.epochs)


def trained(
    backbone: str, *, normalization: Mapping[str, Any] | None = None, **train: Any
) -> TrainingVariant:
    """A row: a backbone, and what of the recipe's training it has otherwise.

    Args:
        backbone: by its name in `[model]`.
        normalization: of all modalities.
        train: values of `[train]`.
    """

    def of_all(recipe: Recipe) -> dict[str, Any]:
        return dict.fromkeys(recipe.model.graph.modalities, normalization)

    model: dict[str, Any] = {"backbone": backbone}
    if normalization is not None:
        model["normalization"] = of_all
    key = "backbone-" + backbone.replace(":", "-")
    return TrainingVariant(key, f"`{backbone}`", {"model": model, "train": train})


BACKBONES = (
    trained("resnet10"),
    trained("resnet18"),
    trained("resnet50", lr=scaled("lr", 1 / 3), epochs=longer(2)),
    trained("timm:mobilenetv2_100", pretrained="package", lr=scaled("lr", 1 / 3)),
    trained(
        "timm:tf_efficientnet_lite0",
        normalization=HALF,
        pretrained="package",
        lr=scaled("lr", 1 / 3),
    ),
    trained("osnet_x0_25"),
    trained("osnet_x1_0"),
    trained("timm:regnety_002"),
)
