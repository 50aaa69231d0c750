"""A state as engines composed, beside one graph of the whole state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from denet.graph import Graph, State
from denet.reading import read_file
from runtime.backends.base import BackendError
from runtime.backends.onnxruntime.providers import PROVIDERS
from runtime.benchmark.bound import Bound
from runtime.benchmark.costs import MonolithCost
from runtime.benchmark.errors import BenchmarkError
from runtime.benchmark.inputs import Tensors, limited
from runtime.benchmark.stats import joined, ratio, timing
from runtime.benchmark.turns import Clock, Notify, Side, in_turn, shared_out
from runtime.bundle.self_contained import check_self_contained
from runtime.cosine import row_cosines
from runtime.runtime import Runtime

STRETCHES = 5

LARGEST = 1 << 31
"""Bytes that an ONNX file with its weights inside may have."""

BATCHES = (1, 8)
"""At which a state is compared with its graph."""

ALIKE = 0.999
"""The least cosine between the parts of a graph and those of the engines: else they are of another
model, or another precision, and there is nothing to compare."""


def find_monoliths(folder: Path, graph: Graph) -> dict[State, Path]:
    """The graphs in a folder, `rgb+tir.onnx` and so on, of at least one state.

    A graph reads the modalities that its state has, `rgb` and so on, each (B, 3, H, W), and makes
    `parts`, (P, B, C).

    Raises:
        BenchmarkError: there is no such folder, or no graph in it.
    """
    if not folder.is_dir():
        raise BenchmarkError(f"{folder}: there is no such folder of graphs")
    found = {s: path for s in graph.states if (path := folder / f"{s.name}.onnx").is_file()}
    if not found:
        raise BenchmarkError(
            f"{folder}: holds no graph of a state (expected {graph.complete.name}.onnx and so on)"
        )
    return found


def monolith_costs(
    runtime: Runtime,
    graphs: Mapping[State, Path],
    samples: Sequence[Tensors],
    batches: Sequence[int],
    rounds: int,
    clock: Clock,
    notify: Notify,
) -> dict[str, MonolithCost]:
    """Both sides of each state, in turn, from network input to parts.

    Args:
        runtime: with the engines.
        graphs: of the states to compare.
        samples: at least as many as the largest batch.
        batches: how many samples at once.
        rounds: runs of each side at batch 1; a larger batch gets fewer.
        clock: to take times with.
        notify: told of each turn.

    Raises:
        BenchmarkError: a graph cannot be run, or does not make what the engines make.
    """
    found: dict[str, MonolithCost] = {}
    for state, path in graphs.items():
        content = _read(path)
        times = {}
        cosines = []
        for size in batches:
            given = [limited(sample, state) for sample in samples[:size]]
            whole = graph_side(path, content, runtime, given)
            cosines.append(_least_cosine(path, whole(), runtime.composer.run_tensors(given)))
            sides: dict[str, Side] = {
                "composed": partial(runtime.composer.run_tensors, given),
                "monolith": whole,
            }
            runs = shared_out(max(rounds // size, 1), STRETCHES)
            turns = in_turn(
                {f"{state}, batch {size}": sides},
                stretches=STRETCHES,
                runs=runs,
                clock=clock,
                notify=notify,
            )
            (times[size],) = turns.times.values()
        found[state.name] = MonolithCost(
            bytes=len(content),
            min_cosine=min(cosines),
            composed={size: timing(t["composed"]) for size, t in times.items()},
            monolith={size: timing(t["monolith"]) for size, t in times.items()},
            ratio={
                size: ratio(joined(t["composed"]), joined(t["monolith"]))
                for size, t in times.items()
            },
        )
    return found


def _read(path: Path) -> bytes:
    content = read_file(path, BenchmarkError, LARGEST)
    check_self_contained(content, path, BenchmarkError)
    return content


def graph_side(
    path: Path, content: bytes, runtime: Runtime, given: Sequence[Tensors]
) -> Callable[[], NDArray[np.float32]]:
    """What runs a graph as the runtime runs its engines: inputs copied in, parts copied out.

    Args:
        path: of the graph, for messages.
        content: the graph.
        runtime: whose provider runs it.
        given: the samples, all in the graph's state.

    Raises:
        BenchmarkError: it cannot be run there.
    """
    images = {m: np.stack([sample[m] for sample in given]) for m in given[0]}
    parts = np.empty(
        (runtime.graph.parts, len(given), runtime.bundle.manifest.channels), np.float32
    )
    provider = PROVIDERS.get(runtime.backend)
    if provider is None:
        raise BenchmarkError(
            f"{path}: a graph runs in ONNX Runtime alone, not in {runtime.backend}"
        )
    try:
        bound = Bound(content, provider, path.name, images, {"parts": parts})
        bound.run()
    except Exception as error:  # ONNX Runtime's exceptions have no common base class
        reason = str(error) if isinstance(error, BackendError) else f"cannot be run: {error}"
        raise BenchmarkError(f"{path}: {reason}") from None

    def run() -> NDArray[np.float32]:
        for row, sample in enumerate(given):
            for modality, image in sample.items():
                np.copyto(bound.inputs[modality][row], image)
        bound.run()
        return bound.output("parts").transpose(1, 0, 2).copy()

    return run


def _least_cosine(path: Path, found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    flat = (len(found), -1)
    least = float(np.min(row_cosines(found.reshape(flat), expected.reshape(flat))))
    if not least >= ALIKE:
        raise BenchmarkError(
            f"{path}: makes other embeddings than the bundle (cosine {least:.4f}): compare graphs "
            "of the same checkpoint and precision"
        )
    return least
