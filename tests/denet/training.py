"""Recipes that are trained in seconds, and objectives with chosen weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from denet.checkpoint import load_checkpoint
from denet.losses import Weights
from denet.recipe import Recipe, TrainConfig
from tests.conftest import TINY

QUICK = TrainConfig(
    epochs=2,
    identities=2,
    instances=2,
    lr=1e-3,
    milestones=(1,),
    dropout=0.5,
    branch=1.0,
    anchor="random",
    pretrained=False,
    workers=0,
)
SHORT = Recipe(model=TINY, train=QUICK)


def with_train(**changes: object) -> Recipe:
    return msgspec.structs.replace(SHORT, train=msgspec.structs.replace(QUICK, **changes))


def weighted(**given: Any) -> Weights:
    """The weights of an objective; a term that is not given has none."""
    silent = {"rho": 0, "mu": 0, "branch": 0, "plain": 0, "states": 0, "adversary": "none"}
    constants = {"margin": 0.3, "smoothing": 0.1, "dropout": 0.0, "recovery_losses": "centred"}
    return Weights(**silent | constants | given)


def weights_of(path: Path) -> dict[str, Tensor]:
    return load_checkpoint(path).state_dict()


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
