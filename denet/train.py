"""The training loop: a recipe and a data set to checkpoints, resumable at any moment.

Mixed precision and several GPUs come through Lightning Fabric, which keeps the loop ours and
nothing else: run `torchrun --nproc-per-node N $(which denet) train ...` for N GPUs. Whatever is
drawn at random is a function of (seed, epoch, sample) alone, never of what ran before, so a run
that is resumed has the weights of one that was not interrupted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from denet.branch_phase import BranchPhase
from denet.config import ConfigError
from denet.data.batch import collate
from denet.data.loading import TrainingBatches, loaded
from denet.data.records import DataSet, Record
from denet.data.support import Needs, Support
from denet.embed import TorchEmbedder
from denet.evaluate import Split, evaluate_states
from denet.graph import Graph
from denet.initialize import initial_model, silence_edges
from denet.losses import Losses, Objective, Weights
from denet.optimizer import build_optimizer
from denet.processes import in_first, open_fabric
from denet.provenance import provenance_of
from denet.recipe import Recipe, TrainConfig
from denet.run import BEST, EpochReport, Origin, Run, Snapshot, TrainingError, data_digest
from denet.schedule import learning_rate, phase_of
from denet.step import Step


@dataclass(frozen=True)
class TrainProgress:
    """Where training is; told before the first batch of an epoch, and after every batch.

    Attributes:
        epoch: from 1, of `epochs`.
        batch: batches of this epoch that are done, of `batches`.
        losses: means over these batches; empty before the first.
        images_per_second: in this epoch, of every modality.
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


OnBatch = Callable[[TrainProgress], None]


def train(
    recipe: Recipe | None,
    data: DataSet,
    out: Path,
    *,
    resume: bool = False,
    branches: Path | None = None,
    on_batch: OnBatch = lambda _: None,
    on_epoch: Callable[[EpochReport], None] = lambda _: None,
    on_weights: Callable[[str], None] = lambda _: None,
    on_gaps: Callable[[str], None] = lambda _: None,
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
        branches: a folder of branches that runs share whose first phase is the same, for one
            process: it is left out where another run has made them (`denet.branch_phase`).
        on_batch: told of progress, in the first process.
        on_epoch: told of each finished epoch, in the first process.
        on_weights: told what was loaded from a file of weights, in the first process.
        on_gaps: told how many samples each loss will see, in the first process, where some lack
            modalities of the model.

    Raises:
        TrainingError: `out` is in the way or not resumable, or the loss is no longer a number.
        DataError: the data cannot be used, or too few samples have a modality, or both ends of a
            direction.
        ConfigError: the recipe asks for what this machine lacks.
    """
    run = Run(out)
    recipe = recipe or _stored(run, resume)
    config, graph = recipe.train, recipe.model.graph
    if not graph.pairs:  # nothing is left that a phase of its own could train
        config = msgspec.structs.replace(config, graph_epochs=0)
    fabric = open_fabric(config)
    origin = Origin(recipe=recipe, data=data_digest(data.train, graph), processes=fabric.world_size)
    in_first(fabric, lambda: run.check(origin, resume=resume))

    support, needs = Support.of(data.train, graph), needs_of(recipe)
    if data.train:
        support.check(needs)
    fitted, held_out = hold_out(support.records, config.validation)
    # What is left out counts, so that a person is told of it.
    support = Support(graph, fitted, support.total - len(held_out))
    support.check(needs)
    split = Split(held_out, held_out, graph)
    if split.has_gaps and not split.supported:
        raise ConfigError(
            f"validation = {config.validation}: no sample of the held-out identities has a match "
            "with a modality in common, seen by another camera: hold out more, or none"
        )
    if fabric.is_global_zero and (told := "; ".join(support.lines())):
        on_gaps(told)
    batches = TrainingBatches.of(
        fitted,
        recipe,
        collate,
        rank=fabric.global_rank,
        world=fabric.world_size,
        pinned=fabric.device.type == "cuda",
    )
    provenance = provenance_of(
        data.root.absolute().name,
        data.name,
        origin.data,
        msgspec.to_builtins(recipe),
        identities=batches.identities,
        samples=len(fitted),
    )

    model = initial_model(
        recipe.model,
        seed=config.seed,
        pretrained=False if run.saved() else config.pretrained,
        notify=on_weights if fabric.is_global_zero else lambda _: None,
    )
    silence_edges(model)
    # The layout in which convolutions are fastest; checkpoints are written in the usual one.
    model = model.to(memory_format=torch.channels_last)
    torch.manual_seed(config.seed)
    objective = Objective(model, batches.identities, _weights(config))
    step = Step(model, objective)

    # A checkpoint, and as much for the optimizer, lie beside those of the epoch before.
    size = 2 * sum(weight.nbytes for weight in model.parameters())
    in_first(fabric, lambda: run.begin(origin, size))
    snapshot = run.restore()
    history = snapshot.history if snapshot is not None else []
    shared: BranchPhase | None = None
    if branches is not None and not history and config.graph_epochs and fabric.world_size == 1:
        shared = BranchPhase(branches, origin, model)
        history = shared.restore(model)
    epochs = config.epochs + config.graph_epochs
    wrapped = fabric.setup_module(step.enter(phase_of(config, len(history))))
    optimizer = build_optimizer(step.parameters(), config)
    wrapped_optimizer = fabric.setup_optimizers(optimizer)
    if snapshot is not None:
        _load(snapshot, step, optimizer, fabric, out)

    batches.order.epochs = range(len(history), epochs)
    with loaded(batches.loader) as stream:
        for epoch in batches.order.epochs:
            phase = phase_of(config, epoch)
            if phase != step.phase:
                # Wrapped anew: several processes exchange the gradients that there were then.
                wrapped = fabric.setup_module(step.enter(phase))
            report = _epoch(
                fabric,
                wrapped,
                wrapped_optimizer,
                islice(stream, batches.order.per_epoch),
                batches.order.per_epoch,
                config,
                graph,
                epoch,
                on_batch if fabric.is_global_zero else lambda _: None,
            )
            due = (epoch + 1) % config.evaluate_every == 0 or epoch + 1 == epochs
            if held_out and due and phase != "branches":  # a DENet without its graph is none
                # In every process: it takes no longer, and none has to wait for another.
                model.eval()
                rankings = evaluate_states(TorchEmbedder(model, fabric.device), split)
                mean = float(np.mean([r.map for r in rankings.values()])) if rankings else math.nan
                report = EpochReport(**asdict(report) | {"map": mean})
            history.append(report)
            in_first(
                fabric,
                lambda: run.save(model, _rest(step, optimizer, fabric), history, provenance),
            )
            if shared is not None and len(history) == config.epochs:
                shared.keep(model, history)
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


def needs_of(recipe: Recipe) -> Needs:
    """What the losses of a recipe ask of the samples that they see."""
    train = recipe.train
    weights = {"none": train.rho + train.mu, "image": train.rho, "feature": train.mu}
    return Needs(
        directions=recipe.model.composition != "concat" and weights[train.adversary] > 0,
        beside=bool(train.graph_epochs and recipe.model.graph.pairs) and not train.branch,
    )


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


def _weights(config: TrainConfig) -> Weights:
    if config.graph_epochs and not (config.branch or config.plain):
        raise ConfigError(
            f"graph_epochs = {config.graph_epochs}: the branches are then trained alone, by "
            "`branch` and `plain`, and both are 0: give one a weight, or set graph_epochs = 0"
        )
    return Weights(**{name: getattr(config, name) for name in Weights._fields})


def _epoch(
    fabric: Fabric,
    step: nn.Module,
    optimizer: Any,
    loaded: Iterator[Any],
    batches: int,
    config: TrainConfig,
    graph: Graph,
    epoch: int,
    on_batch: OnBatch,
) -> EpochReport:
    modalities = graph.modalities
    step.train()
    torch.manual_seed(mixed_seed(config.seed, epoch, fabric.global_rank))  # dropout
    anchors = np.random.default_rng((config.seed, epoch)).integers(0, len(modalities), batches)
    sums: dict[str, float] = dict.fromkeys(Losses._fields, 0.0)
    images_seen, waited, lr = 0, 0.0, config.lr
    on_batch(TrainProgress(epoch + 1, config.epochs + config.graph_epochs, 0, batches, {}, 0.0))
    began = asked = time.perf_counter()
    for batch, (images, rows, labels, _cameras) in enumerate(loaded):
        waited += time.perf_counter() - asked
        lr = learning_rate(config, epoch + batch / batches)
        for group in optimizer.param_groups:
            group["lr"] = lr
        images, labels = fabric.to_device((images, labels))
        images = {m: i.contiguous(memory_format=torch.channels_last) for m, i in images.items()}
        anchor = modalities[anchors[batch]] if config.anchor == "random" else modalities[0]
        losses: Losses = step(images, labels, anchor, rows)
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
        images_seen += sum(map(len, rows.values())) * fabric.world_size
        for name, value in values.items():
            sums[name] += value
        on_batch(
            TrainProgress(
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


def mixed_seed(*numbers: int) -> int:
    """One seed from several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
