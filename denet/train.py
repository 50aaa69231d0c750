"""The training loop: a recipe and a data set to checkpoints, resumable at any moment.

Mixed precision and several GPUs come through Lightning Fabric, which keeps the loop ours and
nothing else: run `torchrun --nproc-per-node N $(which denet) train ...` for N GPUs. Whatever is
drawn at random is a function of (seed, epoch, sample) alone, never of what ran before, so a run
that is resumed has the weights of one that was not interrupted.
"""

from __future__ import annotations

import csv
import io
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import DataLoader

from denet.checkpoint import save_checkpoint
from denet.config import ConfigError
from denet.data.dataset import TrainingSet
from denet.data.records import DataSet, Record, complete
from denet.data.sampler import IdentitySampler
from denet.data.transforms import TrainingTransform
from denet.embed import TorchEmbedder
from denet.errors import DenetError
from denet.evaluate import Split, evaluate_states
from denet.files import written_whole
from denet.graph import COMPLETE, MODALITIES, Modality
from denet.initialize import initial_model
from denet.losses import Losses, Objective, Weights
from denet.model import DENet
from denet.recipe import Recipe, TrainConfig

STATE, LOG, RECIPE = "state.pt", "log.csv", "recipe.json"
LAST, BEST = "last.safetensors", "best.safetensors"


class TrainingError(DenetError):
    """A run that cannot be started, continued or finished; the message says what to do."""


@dataclass(frozen=True)
class EpochReport:
    """One row of the log.

    Attributes:
        epoch: from 1.
        lr: at the end of the epoch.
        images_per_second: triplets count as three.
        waiting: share of the time spent waiting for data.
        map: mean of mAP over the states on the held-out identities; NaN where not measured.
    """

    epoch: int
    total: float
    identity: float
    triplet: float
    branch: float
    recovery: float
    similarity: float
    lr: float
    images_per_second: float
    waiting: float
    map: float

    def describe(self) -> str:
        """The row in one line for a person."""
        held_out = "" if math.isnan(self.map) else f", mAP {self.map:.1f} on held-out identities"
        return (
            f"epoch {self.epoch}: loss {self.total:.3f} (identity {self.identity:.3f}, triplet "
            f"{self.triplet:.3f}, recovery {self.recovery:.3f}, similarity {self.similarity:.3f}), "
            f"{self.images_per_second:.0f} images/s, {self.waiting:.1%} waiting for data{held_out}"
        )


Report = Callable[[int, int, Mapping[str, float]], None]
"""Called after every batch: batch (from 1), batches in the epoch, the running mean losses."""


class Step(nn.Module):
    """Network and objective as one module, so that one wrapper serves both."""

    def __init__(self, model: DENet, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(
        self, images: Mapping[Modality, Tensor], labels: Tensor, anchor: Modality
    ) -> Losses:
        """The losses of a complete batch whose missing modalities `anchor` would recover."""
        output = self.model(images, COMPLETE, anchor)
        losses: Losses = self.objective(output, self.model.recover_all(output), images, labels)
        return losses


def train(
    recipe: Recipe,
    data: DataSet,
    out: Path,
    *,
    resume: bool = False,
    on_batch: Report = lambda *_: None,
    on_epoch: Callable[[EpochReport], None] = lambda _: None,
) -> Path:
    """Train a DENet and return the path of its best checkpoint.

    `out` gets `last.safetensors` and `best.safetensors`, `log.csv`, `recipe.json`, and
    `state.pt`, from which the run resumes. Each is replaced atomically after every epoch.

    Args:
        recipe: everything that can be chosen.
        data: its train split is used, and nothing else.
        out: a new directory, or with `resume` that of a run.
        resume: continue the run in `out`; its recipe and data must be the same.
        on_batch: told of progress.
        on_epoch: told of each finished epoch.

    Raises:
        TrainingError: `out` is in the way or not resumable, or the loss is no longer a number.
        DataError: the data cannot be used.
        ConfigError: the recipe asks for what this machine lacks.
    """
    config = recipe.train
    fitted, held_out = hold_out(complete(data.train), config.validation)
    labels = {identity: i for i, identity in enumerate(sorted({r.identity for r in fitted}))}
    fabric = _fabric(config)
    _prepare(out, recipe, resume)

    model = initial_model(recipe.model, seed=config.seed, pretrained=config.pretrained)
    torch.manual_seed(config.seed)
    step = Step(model, Objective(model, len(labels), _weights(config)))
    optimizer = _optimizer(step, config)
    wrapped, wrapped_optimizer = fabric.setup(step, optimizer)
    history: list[EpochReport] = []
    if resume:
        history = _restore(out, step, optimizer, fabric)

    training_set = TrainingSet(
        fitted, labels, TrainingTransform(recipe.model, recipe.augment), seed=config.seed
    )
    sampler = IdentitySampler(
        [labels[r.identity] for r in fitted],
        identities=config.identities,
        instances=config.instances,
        seed=config.seed,
    )
    loader = DataLoader(
        training_set,
        batch_sampler=_ForRank(sampler, fabric.global_rank, fabric.world_size),
        num_workers=config.workers,
        persistent_workers=config.workers > 0,
        pin_memory=fabric.device.type == "cuda",
    )
    split = Split(held_out, held_out)
    for epoch in range(len(history), config.epochs):
        sampler.set_epoch(epoch)
        report = _epoch(fabric, wrapped, wrapped_optimizer, loader, config, epoch, on_batch)
        due = (epoch + 1) % config.evaluate_every == 0 or epoch + 1 == config.epochs
        if held_out and due:
            model.eval()
            rankings = evaluate_states(TorchEmbedder(model, fabric.device), split)
            report = EpochReport(
                **asdict(report) | {"map": float(np.mean([r.map for r in rankings.values()]))}
            )
        history.append(report)
        if fabric.global_rank == 0:
            _save(out, step, optimizer, history)
        fabric.barrier()
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


def learning_rate(config: TrainConfig, progress: float) -> float:
    """The learning rate at `progress`, in epochs (a fraction in mid-epoch)."""
    if progress < config.warmup:
        return config.lr * max(progress / config.warmup, 0.01)
    if config.schedule == "step":
        return config.lr * 0.1 ** sum(progress >= m for m in config.milestones)
    share = (progress - config.warmup) / max(config.epochs - config.warmup, 1)
    return config.lr * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))


class _ForRank:
    """The batches of one process of several, which all get the same number."""

    def __init__(self, batches: IdentitySampler, rank: int, world: int) -> None:
        self.batches, self.rank, self.world = batches, rank, world

    def __iter__(self) -> Iterator[Any]:
        everything = list(self.batches)
        yield from everything[self.rank : len(self) * self.world : self.world]

    def __len__(self) -> int:
        return len(self.batches) // self.world


def _fabric(config: TrainConfig) -> Fabric:
    gpus = torch.cuda.device_count()
    if config.precision == "16" and not gpus:
        raise ConfigError('precision = "16" needs a GPU, and none was found: use "32" or "bf16"')
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    world = int(os.environ.get("WORLD_SIZE", "1"))
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
    return Weights(
        rho=config.rho,
        mu=config.mu,
        branch=config.branch,
        margin=config.margin,
        smoothing=config.smoothing,
        dropout=config.dropout,
    )


def _optimizer(step: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            step.parameters(), config.lr, momentum=0.9, weight_decay=config.weight_decay
        )
    return torch.optim.AdamW(step.parameters(), config.lr, weight_decay=config.weight_decay)


def _epoch(
    fabric: Fabric,
    step: nn.Module,
    optimizer: Any,
    loader: DataLoader[Any],
    config: TrainConfig,
    epoch: int,
    on_batch: Report,
) -> EpochReport:
    step.train()
    torch.manual_seed(_mix(config.seed, epoch, fabric.global_rank))  # dropout
    anchors = np.random.default_rng((config.seed, epoch)).integers(0, 3, len(loader))
    sums: dict[str, float] = dict.fromkeys(Losses._fields, 0.0)
    images_seen, waited, lr = 0, 0.0, config.lr
    began = asked = time.perf_counter()
    for batch, (images, labels, _cameras) in enumerate(loader):
        waited += time.perf_counter() - asked
        lr = learning_rate(config, epoch + batch / len(loader))
        for group in optimizer.param_groups:
            group["lr"] = lr
        images, labels = fabric.to_device((images, labels))
        anchor = MODALITIES[anchors[batch]] if config.anchor == "random" else "rgb"
        losses: Losses = step(images, labels, anchor)
        values = {name: term.item() for name, term in zip(Losses._fields, losses, strict=True)}
        if not all(math.isfinite(value) for value in values.values()):
            bad = ", ".join(f"{n} = {v}" for n, v in values.items() if not math.isfinite(v))
            raise TrainingError(
                f"epoch {epoch + 1}, batch {batch + 1}: the loss is no number ({bad}). The state "
                "before this epoch is kept: lower lr, add warmup, or set clip, in a new run"
            )
        optimizer.zero_grad()
        fabric.backward(losses.total)
        if config.clip:
            fabric.clip_gradients(step, optimizer, max_norm=config.clip)
        optimizer.step()
        images_seen += len(MODALITIES) * len(labels) * fabric.world_size
        for name, value in values.items():
            sums[name] += value
        on_batch(batch + 1, len(loader), {n: s / (batch + 1) for n, s in sums.items()})
        asked = time.perf_counter()
    elapsed = time.perf_counter() - began
    means = {name: total / max(len(loader), 1) for name, total in sums.items()}
    return EpochReport(
        epoch=epoch + 1,
        **means,
        lr=lr,
        images_per_second=images_seen / elapsed,
        waiting=waited / elapsed,
        map=math.nan,
    )


def _mix(*numbers: int) -> int:
    """One seed from several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def _prepare(out: Path, recipe: Recipe, resume: bool) -> None:
    encoded = msgspec.json.format(msgspec.json.encode(recipe, order="deterministic"), indent=2)
    if resume:
        if not (out / STATE).is_file():
            raise TrainingError(
                f"{out}: has no finished epoch to resume from: start without --resume"
            )
        if (out / RECIPE).read_bytes() != encoded:
            raise TrainingError(
                f"{out / RECIPE}: is not the recipe given now: a resumed run keeps its own"
            )
        return
    if out.exists() and any(out.iterdir()):
        raise TrainingError(f"{out}: is not empty: choose another name, or continue with --resume")
    try:
        out.mkdir(parents=True, exist_ok=True)
        _write(out / RECIPE, encoded)
    except OSError as error:
        raise TrainingError(f"{out}: cannot be written: {error.strerror}") from None


def _save(
    out: Path, step: Step, optimizer: torch.optim.Optimizer, history: list[EpochReport]
) -> None:
    try:
        save_checkpoint(step.model, out / LAST, replace=True)
        measured = [r.map for r in history if not math.isnan(r.map)]
        if not measured or history[-1].map == max(measured):
            save_checkpoint(step.model, out / BEST, replace=True)
        text = io.StringIO()
        rows = csv.DictWriter(text, list(EpochReport.__dataclass_fields__))
        rows.writeheader()
        rows.writerows(asdict(report) for report in history)
        _write(out / LOG, text.getvalue().encode())
        stream = io.BytesIO()
        torch.save(
            {
                "step": step.state_dict(),
                "optimizer": optimizer.state_dict(),
                "history": [asdict(report) for report in history],
            },
            stream,
        )
        _write(out / STATE, stream.getvalue())  # last: what it names is then all there
    except OSError as error:
        raise TrainingError(f"{out}: cannot be written: {error.strerror}") from None


def _restore(
    out: Path, step: Step, optimizer: torch.optim.Optimizer, fabric: Fabric
) -> list[EpochReport]:
    try:
        state = torch.load(out / STATE, map_location=fabric.device, weights_only=True)
        step.load_state_dict(state["step"])
        optimizer.load_state_dict(state["optimizer"])
    except Exception as error:  # torch raises many kinds for a damaged file
        raise TrainingError(f"{out / STATE}: cannot be resumed from: {error}") from None
    return [EpochReport(**row) for row in state["history"]]


def _write(path: Path, content: bytes) -> None:
    with written_whole(path) as temporary:
        temporary.write_bytes(content)
