"""The optimizer that a recipe names."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from denet.recipe import TrainConfig


def build_optimizer(
    parameters: Iterable[nn.Parameter], config: TrainConfig
) -> torch.optim.Optimizer:
    """SGD or AdamW over `parameters`, at the highest learning rate."""
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, config.lr, momentum=0.9, weight_decay=config.weight_decay
        )
    return torch.optim.AdamW(parameters, config.lr, weight_decay=config.weight_decay, fused=True)
