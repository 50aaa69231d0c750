"""The training loop: a recipe and a data set to checkpoints, resumable at any moment.

Mixed precision and several GPUs come through Lightning Fabric, which keeps the loop ours and
nothing else: run `torchrun --nproc-per-node N $(which denet) train ...` for N GPUs. Whatever is
drawn at random is a function of (seed, epoch, sample) alone, never of what ran before, so a run
that is resumed has the weights of one that was not interrupted.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn
from torch.utils.data import DataLoader

from denet.config import ConfigError
from denet.data.dataset import TrainingSet
from denet.data.records import DataError, DataSet, Record, complete
from denet.data.sampler import Draw, IdentitySampler
from denet.data.transforms import TrainingTransform
from denet.embed import TorchEmbedder
from denet.errors import DenetError
from denet.evaluate import Split, evaluate_states
from denet.graph import MODALITIES
from denet.initialize import initial_model, start_plain
from denet.interrupt import begin_worker, let_children_die
from denet.losses import Losses, Objective, Weights
from denet.recipe import Recipe, TrainConfig
from denet.run import BEST, EpochReport, Origin, Run, Snapshot, TrainingError, data_digest
from denet.step import Phase, Step


@dataclass(frozen=True)
class Progress:
    """Where training is; told before the first batch of an epoch, and after every batch.

    Attributes:
        epoch: from 1, of `epochs`.
        batch: batches of this epoch that are done, of `batches`.
        losses: means over these batches; empty before the first.
        images_per_second: in this epoch, triplets count as three.
    """

    epoch: int
    epochs: int
    batch: int
    batches: int
    losses: Mapping[str, float]
    images_per_second: float

    def describe(self) -> str:
        """The figures in one line for a person, the most wanted first."""
        parts = [f"epoch {self.epoch}/{self.epochs}"]
        if self.losses:
            parts.append(f"{self.images_per_second:.0f} images/s")
            parts.append(f"loss {self.losses['total']:.3f}")
            parts += [f"{n} {v:.3f}" for n, v in self.losses.items() if n != "total"]
        return "  ".join(parts)


Report = Callable[[Progress], None]


def train(
    recipe: Recipe | None,
    data: DataSet,
    out: Path,
    *,
    resume: bool = False,
    on_batch: Report = lambda _: None,
    on_epoch: Callable[[EpochReport], None] = lambda _: None,
) -> Path:
    """Train a DENet and return the path of its best checkpoint.

    `out` gets what `denet.run` describes, after every epoch and all of it at once. Where several
    processes train together (torchrun), all of them must see `out`, and the first writes it.

    Args:
        recipe: everything that can be chosen; None, with `resume`, for that of the run.
        data: its train split is used, and nothing else.
        out: a new directory, or with `resume` that of a run.
        resume: continue the run in `out`, or begin it where it had not come that far; recipe,
            data and number of processes must be the same.
        on_batch: told of progress, in the first process.
        on_epoch: told of each finished epoch, in the first process.

    Raises:
        TrainingError: `out` is in the way or not resumable, or the loss is no longer a number.
        DataError: the data cannot be used.
        ConfigError: the recipe asks for what this machine lacks.
    """
    run = Run(out)
    recipe = recipe or _stored(run, resume)
    config = recipe.train
    fabric = _fabric(config)
    origin = Origin(recipe=recipe, data=data_digest(data.train), processes=fabric.world_size)
    _in_first(fabric, lambda: run.check(origin, resume=resume))

    fitted, held_out = hold_out(complete(data.train), config.validation)
    labels = {identity: i for i, identity in enumerate(sorted({r.identity for r in fitted}))}
    training_set = TrainingSet(
        fitted, labels, TrainingTransform(recipe.model, recipe.augment), seed=config.seed
    )
    sampler = IdentitySampler(
        training_set.labels,
        identities=config.identities,
        instances=config.instances,
        seed=config.seed,
    )
    batches = _Batches(sampler, fabric)

    model = initial_model(recipe.model, seed=config.seed, pretrained=config.pretrained)
    start_plain(model)
    # The layout in which convolutions are fastest; checkpoints are written in the usual one.
    model = model.to(memory_format=torch.channels_last)
    torch.manual_seed(config.seed)
    objective = Objective(model, len(labels), _weights(config))
    step = Step(model, objective)

    _in_first(fabric, lambda: run.begin(origin))
    snapshot = run.restore()
    history = snapshot.history if snapshot is not None else []
    epochs = config.epochs + config.graph_epochs
    wrapped = fabric.setup_module(step.enter(phase_of(config, len(history))))
    optimizer = _optimizer(step, config)
    wrapped_optimizer = fabric.setup_optimizers(optimizer)
    if snapshot is not None:
        _load(snapshot, step, optimizer, fabric, out)

    batches.epochs = range(len(history), epochs)
    loader = DataLoader(
        training_set,
        batch_sampler=batches,
        num_workers=config.workers,
        worker_init_fn=begin_worker,
        pin_memory=fabric.device.type == "cuda",
        generator=torch.Generator(),  # else it draws once from the numbers meant for dropout
    )
    split = Split(held_out, held_out)
    with _loaded(loader) as stream:
        for epoch in batches.epochs:
            phase = phase_of(config, epoch)
            if phase != step.phase:
                # Wrapped anew: several processes exchange the gradients that there were then.
                wrapped = fabric.setup_module(step.enter(phase))
            report = _epoch(
                fabric,
                wrapped,
                wrapped_optimizer,
                islice(stream, batches.per_epoch),
                batches.per_epoch,
                config,
                epoch,
                on_batch if fabric.is_global_zero else lambda _: None,
            )
            due = (epoch + 1) % config.evaluate_every == 0 or epoch + 1 == epochs
            if held_out and due and phase != "branches":  # a DENet without its graph is none
                # In every process: it takes no longer, and none has to wait for another.
                model.eval()
                rankings = evaluate_states(TorchEmbedder(model, fabric.device), split)
                report = EpochReport(
                    **asdict(report) | {"map": float(np.mean([r.map for r in rankings.values()]))}
                )
            history.append(report)
            _in_first(fabric, lambda: run.save(model, _rest(step, optimizer, fabric), history))
            if fabric.is_global_zero:
                on_epoch(report)
    return out / BEST


def hold_out(
    records: tuple[Record, ...], identities: int
) -> tuple[tuple[Record, ...], tuple[Record, ...]]:
    """Training records, and those of the last `identities` identities, which are held out.

    Raises:
        ConfigError: fewer than two identities would be left to train on.
    """
    known = sorted({record.identity for record in records})
    if len(known) - identities < 2:
        raise ConfigError(
            f"validation = {identities}: the data has {len(known)} training identities, and at "
            "least two must be left"
        )
    held = set(known[len(known) - identities :])
    return (
        tuple(r for r in records if r.identity not in held),
        tuple(r for r in records if r.identity in held),
    )


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


class _Batches:
    """The batches of one process of several, which all get the same number, over some epochs.

    One stream of all epochs, not one for each, lets the processes that load data work ahead
    across the end of an epoch, while the network is validated and saved.

    Args:
        sampler: the batches of an epoch for all processes.
        fabric: says which process of how many this is.

    Attributes:
        epochs: those that are left to train; set before iterating.
        per_epoch: batches of this process in an epoch.

    Raises:
        ConfigError: an epoch has fewer batches than there are processes.
    """

    epochs = range(0)

    def __init__(self, sampler: IdentitySampler, fabric: Fabric) -> None:
        self.sampler = sampler
        self.rank, self.world = fabric.global_rank, fabric.world_size
        self.per_epoch = len(sampler) // self.world
        if not self.per_epoch:
            raise ConfigError(
                f"an epoch has {len(sampler)} batches, fewer than the {self.world} processes: "
                "use fewer processes, or smaller batches (identities, instances)"
            )

    def __iter__(self) -> Iterator[list[Draw]]:
        for epoch in self.epochs:
            self.sampler.set_epoch(epoch)
            everything = list(self.sampler)
            yield from everything[self.rank : self.per_epoch * self.world : self.world]

    def __len__(self) -> int:
        return self.per_epoch * len(self.epochs)


@contextmanager
def _loaded(loader: DataLoader[Any]) -> Iterator[Iterator[Any]]:
    """The batches of `loader`, whose processes end with the context.

    Raises:
        DataError: one of them was killed; torch says so wherever the loop happens to be.
    """
    try:
        with closing(batch for batch in loader) as batches:
            yield batches
    except (RuntimeError, ConnectionError, EOFError) as error:
        # The latter two where a process died while it handed over a batch.
        if isinstance(error, RuntimeError) and not str(error).startswith("DataLoader worker"):
            raise
        let_children_die()
        raise DataError(
            "a process that loads data was killed, as when memory or /dev/shm is full: lower "
            f"workers in another run, or continue with --resume ({error})"
        ) from None


def _in_first(fabric: Fabric, action: Callable[[], None]) -> None:
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


def _stored(run: Run, resume: bool) -> Recipe:
    origin = run.origin() if resume else None
    if origin is None:
        raise TrainingError(
            f"{run.path}: there is no run to resume: name a preset or configuration to begin one"
        )
    return origin.recipe


def _rest(step: Step, optimizer: torch.optim.Optimizer, fabric: Fabric) -> dict[str, Any]:
    """What a run needs to go on beside the network's weights."""
    return {
        "objective": step.objective.state_dict(),
        "optimizer": optimizer.state_dict(),
        "precision": fabric.strategy.precision.state_dict(),  # the scale of float16 gradients
    }


def _load(
    snapshot: Snapshot, step: Step, optimizer: torch.optim.Optimizer, fabric: Fabric, out: Path
) -> None:
    try:
        step.model.load_state_dict(snapshot.weights)
        step.objective.load_state_dict(snapshot.rest["objective"])
        optimizer.load_state_dict(snapshot.rest["optimizer"])
        fabric.strategy.precision.load_state_dict(snapshot.rest["precision"])
    except (KeyError, ValueError, RuntimeError) as error:
        raise TrainingError(
            f"{out}: cannot be resumed from: was it made by another version? {error}"
        ) from None


def _fabric(config: TrainConfig) -> Fabric:
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


def _weights(config: TrainConfig) -> Weights:
    if config.graph_epochs and not (config.branch or config.plain):
        raise ConfigError(
            f"graph_epochs = {config.graph_epochs}: the branches are then trained alone, by "
            "`branch` and `plain`, and both are 0: give one a weight, or set graph_epochs = 0"
        )
    return Weights(**{name: getattr(config, name) for name in Weights._fields})


def _optimizer(step: Step, config: TrainConfig) -> torch.optim.Optimizer:
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            step.parameters(), config.lr, momentum=0.9, weight_decay=config.weight_decay
        )
    return torch.optim.AdamW(
        step.parameters(), config.lr, weight_decay=config.weight_decay, fused=True
    )


def _epoch(
    fabric: Fabric,
    step: nn.Module,
    optimizer: Any,
    loaded: Iterator[Any],
    batches: int,
    config: TrainConfig,
    epoch: int,
    on_batch: Report,
) -> EpochReport:
    step.train()
    torch.manual_seed(_mix(config.seed, epoch, fabric.global_rank))  # dropout
    anchors = np.random.default_rng((config.seed, epoch)).integers(0, 3, batches)
    sums: dict[str, float] = dict.fromkeys(Losses._fields, 0.0)
    images_seen, waited, lr = 0, 0.0, config.lr
    on_batch(Progress(epoch + 1, config.epochs + config.graph_epochs, 0, batches, {}, 0.0))
    began = asked = time.perf_counter()
    for batch, (images, labels, _cameras) in enumerate(loaded):
        waited += time.perf_counter() - asked
        lr = learning_rate(config, epoch + batch / batches)
        for group in optimizer.param_groups:
            group["lr"] = lr
        images, labels = fabric.to_device((images, labels))
        images = {m: i.contiguous(memory_format=torch.channels_last) for m, i in images.items()}
        anchor = MODALITIES[anchors[batch]] if config.anchor == "random" else "rgb"
        losses: Losses = step(images, labels, anchor)
        # The mean over all processes: if the loss of one is no number, all of them stop.
        means: Any = fabric.all_reduce(torch.stack(losses).detach(), reduce_op="mean")
        values = dict(zip(Losses._fields, means.tolist(), strict=True))
        if not all(math.isfinite(value) for value in values.values()):
            bad = ", ".join(f"{n} = {v}" for n, v in values.items() if not math.isfinite(v))
            kept = f"The run is kept as after epoch {epoch}" if epoch else "Nothing is trained yet"
            raise TrainingError(
                f"epoch {epoch + 1}, batch {batch + 1}: the loss is no number ({bad}). {kept}, "
                "and it would come here again: begin another, with a lower lr, warmup, or clip"
            )
        optimizer.zero_grad()
        fabric.backward(losses.total)
        if config.clip:
            fabric.clip_gradients(step, optimizer, max_norm=config.clip)
        optimizer.step()
        images_seen += len(MODALITIES) * len(labels) * fabric.world_size
        for name, value in values.items():
            sums[name] += value
        on_batch(
            Progress(
                epoch + 1,
                config.epochs + config.graph_epochs,
                batch + 1,
                batches,
                {name: total / (batch + 1) for name, total in sums.items()},
                images_seen / (time.perf_counter() - began),
            )
        )
        asked = time.perf_counter()
    elapsed = time.perf_counter() - began
    return EpochReport(
        epoch=epoch + 1,
        **{name: total / batches for name, total in sums.items()},
        lr=lr,
        images_per_second=images_seen / elapsed,
        waiting=waited / elapsed,
        map=math.nan,
    )


def _mix(*numbers: int) -> int:
    """One seed from several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
