"""Engines against PyTorch: each engine on its own, then each missing state composed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from denet.branch import BranchOutput
from denet.checkpoint import load_checkpoint
from denet.config import Neck
from denet.errors import DenetError
from denet.files import file_digest
from denet.graph import Graph, Modality, State, component
from denet.initialize import random_images
from denet.model import DENet
from export.engines import EngineGraph, engine_graphs, target_range
from runtime.cosine import row_cosines
from runtime.runtime import Runtime

MIN_COSINE = 0.99999
MAX_RELATIVE = 1e-3

Notify = Callable[[str], None]


class ParityError(DenetError):
    """An engine or a state whose numbers are not PyTorch's; names it and the tensor."""


def parity_steps(graph: Graph) -> int:
    """Calls of `notify` during a comparison: each engine, each state, and mixed states."""
    return len(graph.engines) + len(graph.states) + 1


def part_names(graph: Graph) -> tuple[str, ...]:
    """What the parts of an embedding are called, in their order."""
    both = [f"{c}[{m}]" for c in ("c(S)", "c(anchor)") for m in graph.modalities]
    return tuple(both[: graph.parts])


@dataclass(frozen=True)
class Difference:
    """How far one tensor is from PyTorch's.

    Attributes:
        where: the engine or the state, and the batch.
        tensor: the output or part.
        cosine: the least over the rows.
        relative: the largest over the rows of max |found - expected| / max |expected|.
    """

    where: str
    tensor: str
    cosine: float
    relative: float

    @property
    def good(self) -> bool:
        return self.cosine >= MIN_COSINE and self.relative <= MAX_RELATIVE


def difference(
    where: str, tensor: str, expected: NDArray[np.float32], found: NDArray[np.float32]
) -> Difference:
    """Compare row by row; the last axis, or all axes behind the first of a feature, is a row."""
    rows = (-1, expected.shape[-1]) if expected.ndim < 4 else (len(expected), -1)
    a = expected.reshape(rows).astype(np.float64)
    b = found.reshape(rows).astype(np.float64)
    cosine = row_cosines(a, b)
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = np.max(np.abs(a - b), axis=1) / np.max(np.abs(a), axis=1)
    # NaN, from a dead output or a broken engine, compares as bad.
    return Difference(where, tensor, float(np.min(cosine)), float(np.max(relative)))


def check_parity(
    model: DENet, runtime: Runtime, *, notify: Notify = lambda _: None, seed: int = 0
) -> list[Difference]:
    """Compare every engine (batch 1 and 3) and every state (batch 1, 3, and 16 mixed).

    Args:
        model: the truth, in evaluation mode.
        runtime: a loaded bundle.
        notify: told the name of each engine and state before it is compared.
        seed: of the inputs.

    Returns:
        Every comparison made.

    Raises:
        ParityError: one is out of tolerance; names the worst.
    """
    random = torch.Generator().manual_seed(seed)
    found: list[Difference] = []
    # Engines first: a state that is off because of an engine would only hide its name.
    for compare in (_compare_engines, _compare_states):
        with torch.no_grad():
            made = list(compare(model, runtime, notify, random))
        if bad := [d for d in made if not d.good]:
            worst = min(bad, key=lambda d: d.cosine if np.isfinite(d.cosine) else -1.0)
            raise ParityError(
                f"{worst.where}: {worst.tensor} differs from PyTorch: cosine "
                f"{worst.cosine:.7f} (at least {MIN_COSINE}), relative error "
                f"{worst.relative:.2e} (at most {MAX_RELATIVE}); {len(bad)} of {len(made)} "
                "such comparisons are out of tolerance"
            )
        found += made
    return found


def check_against(
    checkpoint: Path, runtime: Runtime, *, notify: Notify = lambda _: None
) -> dict[str, float]:
    """Compare a loaded bundle with the checkpoint that it should come from.

    Returns:
        `comparisons` made, `min_cosine` and `max_relative` over them.

    Raises:
        CheckpointError: the checkpoint cannot be read.
        ParityError: the bundle was made from another checkpoint, does not agree with it, or is
            not run in FP32.
    """
    if runtime.variant != "fp32":
        raise ParityError(
            f"{runtime.bundle.root}: runs in {runtime.variant}, and only FP32 is compared number "
            "by number: add --precision fp32; what others do to the ranking `denet eval` measures"
        )
    model = load_checkpoint(checkpoint)
    if file_digest(checkpoint) != runtime.bundle.manifest.checkpoint_sha256:
        raise ParityError(f"{runtime.bundle.root}: was not exported from {checkpoint}")
    neck = runtime.bundle.manifest.model.get("neck")  # an export may choose another
    if neck in get_args(Neck):
        model.retrieve_by(cast(Neck, neck))
    found = check_parity(model, runtime, notify=notify)
    return {
        "comparisons": len(found),
        "min_cosine": min(d.cosine for d in found),
        "max_relative": max(d.relative for d in found),
    }


def _compare_engines(
    model: DENet, runtime: Runtime, notify: Notify, random: torch.Generator
) -> Iterator[Difference]:
    drawn = [_images(model, batch, random) for batch in (1, 3)]
    made = [(images, model(images, model.graph.complete).branches) for images in drawn]
    for graph in engine_graphs(model):
        notify(graph.name)
        for images, branches in made:
            for targets in target_range(graph):
                yield from _compare_engine(graph, images, branches, runtime, targets)


def _compare_states(
    model: DENet, runtime: Runtime, notify: Notify, random: torch.Generator
) -> Iterator[Difference]:
    states = model.graph.states
    for state in states:
        notify(state.name)
        for batch in (1, 3):
            yield from _compare_batch(model, runtime, [state] * batch, random)
    notify("mixed states")
    yield from _compare_batch(model, runtime, [states[i % len(states)] for i in range(16)], random)


def _images(model: DENet, batch: int, random: torch.Generator) -> dict[Modality, Tensor]:
    return {
        m: random_images(batch, model.config.image_size, random) for m in model.graph.modalities
    }


def _compare_engine(
    graph: EngineGraph,
    images: dict[Modality, Tensor],
    branches: dict[Modality, BranchOutput],
    runtime: Runtime,
    targets: int,
) -> Iterator[Difference]:
    """Feed the engine what PyTorch's components before it make of random images."""
    inputs: dict[str, Tensor] = {}
    of = component(graph.name)
    if "image" in graph.inputs:
        inputs["image"] = images[of.source]
    else:
        inputs["feature"] = branches[of.source].feature
        if "base" in graph.inputs:
            base = branches[of.target].pooled
            inputs["base"] = torch.stack([base, base.flip(1)])[:targets]
            # The output is then what the edge adds, and nothing that could hide an error in it.
            inputs["sum"] = torch.zeros_like(inputs["base"])
    expected = graph.module(**inputs)
    tensors = [expected] if isinstance(expected, Tensor) else list(expected)
    found = runtime.composer.run_engine(graph.name, {n: t.numpy() for n, t in inputs.items()})
    batch = len(tensors[0]) if "base" not in inputs else inputs["base"].shape[1]
    where = f"{graph.name} (batch {batch}{f', {targets} targets' if 'base' in inputs else ''})"
    for name, tensor in zip(graph.outputs, tensors, strict=True):
        yield difference(where, name, tensor.numpy(), found[name])


def _compare_batch(
    model: DENet, runtime: Runtime, states: list[State], random: torch.Generator
) -> Iterator[Difference]:
    images = _images(model, len(states), random)
    samples = [{m: images[m][i].numpy() for m in state.available} for i, state in enumerate(states)]
    found = runtime.composer.run_tensors(samples)
    expected = np.stack(
        [
            model({m: images[m][i : i + 1] for m in state.available}, state).parts[:, 0].numpy()
            for i, state in enumerate(states)
        ]
    )
    mixed = len(set(states)) > 1
    where = f"state {'mixed' if mixed else states[0]} (batch {len(states)})"
    for part, name in enumerate(part_names(model.graph)):
        yield difference(where, name, expected[:, part], found[:, part])
