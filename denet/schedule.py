"""What an epoch trains, and at which learning rate."""

from __future__ import annotations

import math

from denet.recipe import TrainConfig
from denet.step import Phase


def phase_of(config: TrainConfig, epoch: int) -> Phase:
    """What is trained in `epoch`, from 0."""
    if not config.graph_epochs:
        return "joint"
    return "branches" if epoch < config.epochs else "graph"


def learning_rate(config: TrainConfig, progress: float) -> float:
    """The learning rate at `progress`, in epochs (a fraction in mid-epoch)."""
    length = config.epochs
    if progress >= length and config.graph_epochs:
        progress, length = progress - length, config.graph_epochs
    if progress < config.warmup:
        return config.lr * max(progress / config.warmup, 0.01)
    if config.schedule == "step":
        return config.lr * 0.1 ** sum(progress >= m for m in config.milestones)
    share = (progress - config.warmup) / max(length - config.warmup, 1)
    return config.lr * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
