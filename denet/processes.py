"""The processes that train together, through Lightning Fabric."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

import torch
from lightning_fabric import Fabric

from denet.config import ConfigError
from denet.errors import DenetError
from denet.recipe import TrainConfig


def open_fabric(config: TrainConfig) -> Fabric:
    """What runs the loop in the processes that torchrun started, or in this one alone.

    Raises:
        ConfigError: the precision needs a GPU, and there is none.
    """
    gpus = torch.cuda.device_count()
    if config.precision == "16" and not gpus:
        raise ConfigError('precision = "16" needs a GPU, and none was found: use "32" or "bf16"')
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    world = int(os.environ.get("WORLD_SIZE", "1"))
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # what it says is for others
    fabric = Fabric(
        accelerator="cuda" if gpus else "cpu",
        devices=local,
        num_nodes=world // local,
        strategy="ddp" if world > 1 else "auto",
        precision={"32": "32-true", "16": "16-mixed", "bf16": "bf16-mixed"}[config.precision],  # type: ignore[arg-type]
    )
    fabric.launch()
    return fabric


def in_first(fabric: Fabric, action: Callable[[], None]) -> None:
    """Do `action` in the first process while the others wait; all raise what it raises."""
    problem: DenetError | None = None
    if fabric.is_global_zero:
        try:
            action()
        except DenetError as error:
            problem = error
    problem = fabric.broadcast(problem)
    if problem is not None:
        raise problem
