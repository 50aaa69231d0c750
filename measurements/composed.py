"""What composing costs: 15 engines against one graph for each state, and against PyTorch.

    python measurements/composed.py [--config FILE.toml] [--threads 2] [--rounds 30]

Every comparison runs both sides in turn (A B A B ...) in one process, at batch 1, with the same
ONNX Runtime, the same shared thread pool and the same input, and reports the median of the
ratios pair by pair, so that a machine whose speed drifts does not favour a side. Both sides
copy their input into a bound buffer; decoding and resizing are no part of either.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor

from denet.graph import Graph, Modality, State, branch_engine, cmft_engine, dem_engine
from denet.initialize import initial_model, random_images
from denet.model import DENet
from denet.recipe import read_recipe
from export.bundle import export_bundle
from export.monolith import monolith
from runtime import Runtime
from runtime.backends.base import EngineCall
from runtime.backends.onnxruntime.library import ort
from runtime.benchmark.monolith import graph_side
from runtime.machine import read_cpu

Arrays = Mapping[Modality, NDArray[np.float32]]


def interleave(sides: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each side, run in turn; the first rounds warm up and do not count."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for round_ in range(-5, rounds):
        for name, run in sides.items():
            start = time.perf_counter()
            run()
            if round_ >= 0:
                times[name].append((time.perf_counter() - start) * 1e3)
    return times


def ratio(times: Mapping[str, list[float]], side: str, against: str) -> float:
    return statistics.median(a / b for a, b in zip(times[side], times[against], strict=True))


def processor() -> str:
    """The CPU's name and the instructions that decide how fast it multiplies."""
    cpu = read_cpu()
    return f"{cpu.name} ({', '.join(cpu.instructions)})"


def branch_runner(runtime: Runtime, state: State, sample: Arrays) -> Callable[[], object]:
    """Only the branches of a state, one engine after the other."""
    backend = runtime.composer.backend
    manifest = runtime.bundle.manifest
    images, calls = [], []
    for m in state.available:
        images.append(backend.allocate((1, *sample[m].shape)))
        outputs = {
            "feature": backend.allocate((1, manifest.channels, *manifest.feature_size)),
            "pooled": backend.allocate((1, manifest.channels)),
        }
        calls.append(EngineCall(branch_engine(m), {"image": images[-1]}, outputs))
    program = backend.program(images, calls, [])
    for m, host in zip(state.available, program.uploads, strict=True):
        np.copyto(host[0], sample[m])
    return program.run


def one_of_each(graph: Graph) -> tuple[str, ...]:
    """An engine of each kind that the graph has; the others of its kind cost the same."""
    pairs = graph.pairs[:1]
    return (
        branch_engine(graph.modalities[0]),
        *(cmft_engine(*pair) for pair in pairs),
        *(dem_engine(*pair) for pair in pairs),
    )


def costs(runtime: Runtime) -> Table:
    """FLOPs and bytes of weights of each kind of engine, beside a branch's."""
    engines = runtime.bundle.manifest.engines
    table = Table("engine", "GFLOP", "% of a branch", "MB of weights", title="Cost at batch 1")
    names = one_of_each(runtime.graph)
    for name in names:
        flops, size = engines[name].flops, engines[name].files["fp32"].bytes
        share = 100 * flops / engines[names[0]].flops
        table.add_row(name, f"{flops / 1e9:.3f}", f"{share:.2f}", f"{size / 1e6:.1f}")
    return table


def compare(model: DENet, runtime: Runtime, rounds: int) -> Table:
    table = Table(
        "state",
        "engines",
        "composed ms",
        "/ monolith",
        "/ torch eager",
        "beyond branches",
        title=f"Batch 1, {model.config.backbone}, FP32, {rounds} rounds",
    )
    graph = model.graph
    images = random_images(
        len(graph.modalities), model.config.image_size, torch.Generator().manual_seed(1)
    )
    for state in graph.states:
        sample = {
            m: image.numpy()
            for m, image in zip(graph.modalities, images, strict=True)
            if m in state.available
        }
        tensors = {m: torch.from_numpy(x[None]) for m, x in sample.items()}

        def eager(state: State = state, tensors: dict[Modality, Tensor] = tensors) -> Tensor:
            with torch.inference_mode():
                return model(tensors, state).parts

        def composed(sample: Arrays = sample) -> NDArray[np.float32]:
            return runtime.composer.run_tensors([sample])

        whole = graph_side(Path(f"{state}.onnx"), monolith(model, state), runtime, [sample])
        np.testing.assert_allclose(composed(), whole(), rtol=1e-3, atol=1e-4)
        times = interleave(
            {
                "composed": composed,
                "monolith": whole,
                "branches": branch_runner(runtime, state, sample),
            },
            rounds,
        )
        # On its own: torch's thread pool spins beside ONNX Runtime's and would slow both.
        against_torch = interleave({"composed": composed, "eager": eager}, max(rounds // 2, 5))
        table.add_row(
            state.name,
            str(len(graph.plan(state).calls)),
            f"{statistics.median(times['composed']):.1f}",
            f"{ratio(times, 'composed', 'monolith'):.3f}",
            f"{ratio(against_torch, 'composed', 'eager'):.2f}",
            f"{ratio(times, 'composed', 'branches') - 1:.3f}",
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--config", type=Path, help="model configuration (default: ResNet-50)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=30)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    config = read_recipe("strong", arguments.config).model
    model = initial_model(config, seed=0, pretrained=False)
    console = Console(width=110)
    with tempfile.TemporaryDirectory() as folder:
        bundle = export_bundle(
            model,
            Path(folder, "model.denet"),
            checkpoint_sha256="0" * 64,
            threads=arguments.threads,
        )
        with Runtime.load(bundle, "ort-cpu", threads=arguments.threads, preload=True) as runtime:
            console.print(
                f"{processor()}, {arguments.threads} threads, ONNX Runtime {ort.__version__}, "
                f"torch {torch.__version__}"
            )
            console.print(costs(runtime))
            console.print(compare(model, runtime, arguments.rounds))


if __name__ == "__main__":
    main()
