"""Trains any rival as DENet is trained: the same samples, augmentation, batches, number of steps.

All epochs of the recipe, `epochs` and `graph_epochs`, are one phase here with one learning rate
schedule: a rival has no graph that is trained behind its branches. The optimizer is the recipe's.
Where the recipe holds identities out, so does this; the last epoch is what is measured.

A run is a folder with `recipe.json` as `denet.run` has it, and `rival.pt`: network and optimizer
after the last finished epoch. What is drawn is a function of (seed, epoch, sample), so that a run
that was stopped goes on as if it had not been.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from denet.data.loading import TrainingBatches, loaded
from denet.data.records import DataSet, complete
from denet.files import written_whole
from denet.optimizer import build_optimizer
from denet.outputs import writing
from denet.processes import open_fabric
from denet.recipe import Recipe, TrainConfig
from denet.rivals.catalog import method
from denet.rivals.rival import Rival, Setting
from denet.run import Origin, Run, TrainingError, data_digest
from denet.schedule import learning_rate
from denet.train import hold_out, mixed_seed

STATE = "rival.pt"


class _Loss(nn.Module):
    """A rival whose `forward` is its loss: what Fabric wraps."""

    def __init__(self, rival: Rival) -> None:
        super().__init__()
        self.rival = rival

    def forward(self, images: dict[str, Tensor], labels: Tensor) -> Tensor:
        return self.rival.loss(images, labels)


def one_phase(config: TrainConfig) -> TrainConfig:
    """`config` with all its epochs in one phase."""
    epochs = config.epochs + config.graph_epochs
    return msgspec.structs.replace(config, epochs=epochs, graph_epochs=0)


def build_rival(name: str, setting: Setting) -> Rival:
    """An untrained rival; equal arguments give equal weights.

    Raises:
        RivalError: there is none of this name.
        ConfigError: its backbone cannot be built.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(setting.train.seed)
        return method(name).build(setting)


def train_rival(
    name: str,
    recipe: Recipe,
    data: DataSet,
    out: Path,
    *,
    on_batch: Callable[[float], None] = lambda _: None,
) -> tuple[Rival, torch.device]:
    """Train the rival called `name`, or go on with what is in `out`; it, and where it is.

    Args:
        name: of the rival.
        recipe: DENet's.
        data: the complete samples of its train split are used: a rival takes no others.
        out: the folder of the run, which is made if need be.
        on_batch: told of the loss of each batch.

    Raises:
        TrainingError: `out` is in the way or of another run, or the loss is no longer a number.
        DataError: the data cannot be used.
        ConfigError: the recipe asks for what this machine or this rival lacks.
    """
    config = one_phase(recipe.train)
    fabric = open_fabric(config)
    run, origin = Run(out), Origin(recipe=recipe, data=data_digest(data.train, recipe.model.graph))
    run.check(origin, resume=True)
    fitted, _ = hold_out(complete(data.train, recipe.model.graph), config.validation)
    batches = TrainingBatches.of(fitted, recipe, pinned=fabric.device.type == "cuda")
    rival = build_rival(name, Setting(recipe, batches.identities)).to(
        memory_format=torch.channels_last
    )
    run.begin(origin)
    step = fabric.setup_module(_Loss(rival))
    optimizer = build_optimizer(rival.parameters(), config)
    wrapped: Any = fabric.setup_optimizers(optimizer)
    done = _restore(out / STATE, rival, optimizer, fabric)
    batches.order.epochs = range(done, config.epochs)
    per_epoch = batches.order.per_epoch
    with loaded(batches.loader) as stream:
        for epoch in batches.order.epochs:
            step.train()
            rival.begin_epoch()
            torch.manual_seed(mixed_seed(config.seed, epoch))
            for batch, (images, classes, _) in enumerate(islice(stream, per_epoch)):
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(config, epoch + batch / per_epoch)
                images, classes = fabric.to_device((images, classes))
                loss = step(
                    {m: i.contiguous(memory_format=torch.channels_last) for m, i in images.items()},
                    classes,
                )
                value = float(loss.detach())
                if not math.isfinite(value):
                    raise TrainingError(
                        f"{name}, epoch {epoch + 1}, batch {batch + 1}: the loss is {value}: "
                        "choose a lower lr, warmup, or clip"
                    )
                optimizer.zero_grad()
                fabric.backward(loss)
                if config.clip:
                    fabric.clip_gradients(step, wrapped, max_norm=config.clip)
                wrapped.step()
                on_batch(value)
            _save(out / STATE, epoch + 1, rival, optimizer, fabric)
    return rival.eval(), fabric.device


def _save(
    path: Path, epochs: int, rival: Rival, optimizer: torch.optim.Optimizer, fabric: Fabric
) -> None:
    state = {
        "epochs": epochs,
        "rival": rival.state_dict(),
        "optimizer": optimizer.state_dict(),
        "precision": fabric.strategy.precision.state_dict(),
    }
    with writing(path, TrainingError), written_whole(path) as temporary:
        torch.save(state, temporary)


def _restore(path: Path, rival: Rival, optimizer: torch.optim.Optimizer, fabric: Fabric) -> int:
    """Put back what `_save` has stored; the number of finished epochs."""
    if not path.exists():
        return 0
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        rival.load_state_dict(state["rival"])
        optimizer.load_state_dict(state["optimizer"])
        fabric.strategy.precision.load_state_dict(state["precision"])
        return int(state["epochs"])
    except Exception as error:  # torch raises many kinds for a damaged file
        raise TrainingError(f"{path}: cannot be resumed from: {error}: remove the run") from None
