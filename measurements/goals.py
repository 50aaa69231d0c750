"""What denet holds itself to, measured: each goal with both sides in one run.

    python measurements/goals.py [--threads 2] [--rounds 30] [--work FOLDER] [--only NAME,...]

The model is an untrained ResNet-50 at 256x128; what it knows does not change its speed. It is made,
exported and calibrated in --work (a temporary folder by default; give one to keep it). Needs the
extras `train` and `peers`. Runs in turn, and the median of the ratios pair by pair, with its 95 %
interval; a goal is met if the median is.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from alternating import apart
from composed import one_of_each
from numpy.typing import NDArray
from peers import OpenVino, torch_side
from rich.console import Console
from rich.table import Table

from calibration import CalibrationRequest, calibrate
from denet.checkpoint import load_checkpoint, save_checkpoint
from denet.config import ModelConfig
from denet.data.synthetic import SyntheticConfig, write_synthetic
from denet.files import file_digest
from denet.graph import Graph, Modality, State
from denet.initialize import initial_model
from denet.missing import draw_states
from denet.model import DENet
from export import export_bundle
from export.monolith import export_monoliths
from runtime import Bundle, Runtime
from runtime.benchmark.child import Asked
from runtime.benchmark.images import image_cost
from runtime.benchmark.inputs import Tensors, drawn_files, limited, network_inputs
from runtime.benchmark.monolith import graph_side
from runtime.benchmark.start import start_costs
from runtime.benchmark.stats import Ratio, joined
from runtime.benchmark.stream import SAMPLES, stream_cost
from runtime.benchmark.turns import in_turn, timed, warm_up
from runtime.machine import read_machine

RATE = 0.5


@dataclass(frozen=True)
class Goal:
    """A goal, and what was measured.

    Attributes:
        what: is compared.
        value: that was found.
        limit: that is allowed.
        least: whether the value has to be at least the limit, and not at most.
        note: how sure it is.
    """

    what: str
    value: float
    limit: float
    least: bool = False
    note: str = ""

    @property
    def met(self) -> bool:
        return self.value >= self.limit if self.least else self.value <= self.limit


@dataclass(frozen=True)
class Setup:
    """What is measured, and how often."""

    model: DENet
    root: Path
    graphs: Path
    fp32: Runtime
    int8: Runtime
    threads: int
    rounds: int

    @property
    def bundle(self) -> Bundle:
        return self.fp32.bundle

    @property
    def graph(self) -> Graph:
        return self.bundle.graph

    def samples(self, state: State, count: int) -> list[Tensors]:
        drawn = network_inputs(self.bundle.manifest.preprocessing, count, 0)
        return [limited(sample, state) for sample in drawn]


Goals = Iterator[Goal]


def compared(what: str, found: Ratio, limit: float, *, least: bool = False) -> Goal:
    note = f"{found.low:.3f} to {found.high:.3f}"
    return Goal(what, found.median, limit, least, note)


def monolith(setup: Setup) -> Goals:
    """Engines composed against one graph of the state."""
    for batch in (1, 8):
        for state in setup.graph.states:
            samples = setup.samples(state, batch)
            path = setup.graphs / f"{state.name}.onnx"
            found = apart(
                partial(setup.fp32.composer.run_tensors, samples),
                graph_side(path, path.read_bytes(), setup.fp32, samples),
                setup.rounds // batch + 6,
            )
            yield compared(f"composed / one graph, {state}, batch {batch}", found, 1.02)


def pytorch(setup: Setup) -> Goals:
    for compiled, name, limits in (
        (False, "torch eager", (0.65, 0.70)),
        (True, "torch.compile", (0.90, 0.95)),
    ):
        for state in setup.graph.states:
            samples = setup.samples(state, 1)
            found = apart(
                partial(setup.fp32.composer.run_tensors, samples),
                torch_side(setup.model, state, samples, compiled=compiled),
                setup.rounds,
            )
            limit = limits[0] if state == setup.graph.complete else limits[1]
            yield compared(f"composed / {name}, {state}", found, limit)


def openvino(setup: Setup) -> Goals:
    for runtime, complete, every in ((setup.fp32, 1.05, 1.10), (setup.int8, 1.15, 1.15)):
        peer = OpenVino(setup.bundle, runtime.forms, setup.threads)
        for state in setup.graph.states:
            samples = setup.samples(state, 1)
            mine = partial(runtime.composer.run_tensors, samples)
            theirs = peer.side([state], samples)
            agree(mine(), theirs(), runtime.variant)
            found = apart(mine, theirs, setup.rounds)
            limit = complete if state == setup.graph.complete else every
            yield compared(f"{runtime.variant} / OpenVINO, {state}", found, limit)


def agree(a: NDArray[np.float32], b: NDArray[np.float32], variant: str) -> None:
    """See that two sides compute the same, or they are no comparison."""
    cosine = float(np.sum(a * b) / np.linalg.norm(a) / np.linalg.norm(b))
    if cosine < (0.9999 if variant == "fp32" else 0.98):
        raise SystemExit(f"the two sides differ: cosine {cosine:.5f} in {variant}")


def engines(setup: Setup) -> Goals:
    """Not a goal: each kind of engine against OpenVINO, to see where one is behind."""
    for runtime in (setup.fp32, setup.int8):
        peer = OpenVino(setup.bundle, runtime.forms, setup.threads)
        for name in one_of_each(setup.graph):
            inputs = engine_inputs(setup.bundle, name)
            mine = runtime.composer.engine_program(name, inputs)
            found = apart(mine.run, peer.engine_side(name, inputs), setup.rounds * 2)
            form = runtime.forms[name]
            yield compared(f"{form} {name} / OpenVINO", found, float("inf"))


def engine_inputs(bundle: Bundle, name: str) -> dict[str, NDArray[np.float32]]:
    random = np.random.default_rng(0)
    sizes = {"B": 1, "T": 1}
    return {
        tensor.name: random.standard_normal(
            tuple(d if isinstance(d, int) else sizes[d] for d in tensor.shape)
        ).astype(np.float32)
        for tensor in bundle.manifest.engines[name].inputs
    }


def stream(setup: Setup) -> Goals:
    """A mixed stream in batches of 16, against one sample at a time and state by state."""
    states = draw_states(setup.graph, SAMPLES, RATE, 0)
    for runtime in (setup.fp32, setup.int8):
        found = stream_cost(runtime, setup.samples(setup.graph.complete, 16), states)
        name = f"missing rate {RATE}, {runtime.variant}"
        yield compared(f"single / batch 16, {name}", found.over_single, 1.15, least=True)
        yield compared(f"state by state / batch 16, {name}", found.over_by_state, 1.03, least=True)


def overhead(setup: Setup) -> Goals:
    """All but the engines, as a share of a state's time."""
    for runtime in (setup.fp32, setup.int8):
        shares = {
            state: beside_engines(setup, runtime, state)
            for state in setup.graph.states
            if not state.available[1:]
        }
        state, share = max(shares.items(), key=lambda item: item[1])
        what = f"overhead, {runtime.variant}, the worst of single states ({state})"
        yield Goal(what, share, 0.01)


def beside_engines(setup: Setup, runtime: Runtime, state: State) -> float:
    """The share of a state's time at batch 1 that is spent outside of its engines.

    The image is where it is needed already, where preprocessing would have written it.
    """

    def fill(sample: int, modality: Modality, out: NDArray[np.float32]) -> None:
        pass

    def traced() -> None:
        spans = runtime.composer.trace([state], fill).spans
        inside.append(sum(s.stop - s.start for s in spans if s.kind == "engine"))

    vectors = np.ones((setup.graph.parts, setup.bundle.manifest.channels), np.float32)
    rows = np.arange(setup.graph.parts)[None]

    def pick() -> None:  # the last step of a run, which a trace leaves out
        vectors.take(rows, axis=0)

    inside: list[float] = []
    runtime.composer.run_tensors(setup.samples(state, 1))  # leaves its image there
    warm_up(traced)
    outside = []
    for _ in range(setup.rounds * 4):
        whole = timed(traced) + timed(pick)
        outside.append(1 - inside[-1] / whole)
    return statistics.median(outside)


def preprocessing(setup: Setup) -> Goals:
    runtime = setup.int8
    samples = setup.samples(setup.graph.complete, 1)
    run = partial(runtime.composer.run_tensors, samples)
    times = joined(in_turn({"int8": {"a": run}}, stretches=3, runs=setup.rounds).times["int8"]["a"])
    manifest = setup.bundle.manifest.preprocessing
    files = [drawn_files(manifest, seed) for seed in range(4)]
    ranges = {m: n.range16 for m, n in manifest.modalities.items()}
    cost = image_cost(
        runtime.preprocess, files, ranges, setup.rounds * 4, time.perf_counter, print_nothing
    )
    share = cost.total.p50 / 1e3 / statistics.median(times)
    note = f"decode {cost.decode:.2f}, resize {cost.resize:.2f}, normalize {cost.normalize:.2f} ms"
    yield Goal("preprocessing / complete INT8", share, 0.10, note=note)


def print_nothing(_: str) -> None:
    pass


def disk(setup: Setup) -> Goals:
    mine = sum(e.files["fp32"].bytes for e in setup.bundle.manifest.engines.values())
    theirs = sum((setup.graphs / f"{s.name}.onnx").stat().st_size for s in setup.graph.states)
    yield Goal(
        f"{len(setup.graph.engines)} engines / {len(setup.graph.states)} graphs on disk",
        mine / theirs,
        0.40,
    )


def cold(setup: Setup) -> Goals:
    """First embedding of `rgb` in a fresh process, against loading all engines."""
    asked = Asked(
        bundle=str(setup.root),
        backend="ort-cpu",
        precision="int8",
        threads=setup.threads,
        states=(),
        batch=1,
    )
    found = start_costs(asked, setup.graph, 1, 5, [setup.graph.parse("rgb")])
    first, every = found["rgb"], found["all"]
    value = first.first.median / every.load.median
    yield Goal("cold start of INT8 rgb to its embedding / loading all engines", value, 0.5)


SECTIONS: dict[str, Callable[[Setup], Goals]] = {
    "monolith": monolith,
    "torch": pytorch,
    "openvino": openvino,
    "engines": engines,
    "stream": stream,
    "overhead": overhead,
    "preprocessing": preprocessing,
    "disk": disk,
    "cold": cold,
}


def prepare(work: Path, threads: int) -> tuple[DENet, Path, Path]:
    """The model, its calibrated bundle, and the graphs of its states.

    Exporting and calibrating compute with ONNX Runtime, whose pool of threads a process makes once:
    they get the number that what comes after them has to have.
    """
    checkpoint, root, graphs = work / "model.safetensors", work / "model.denet", work / "graphs"
    if not checkpoint.exists():
        model = initial_model(ModelConfig(), seed=0, pretrained=False)
        save_checkpoint(model, checkpoint, replace=False)
    model = load_checkpoint(checkpoint)
    if not root.exists():
        export_bundle(model, root, checkpoint_sha256=file_digest(checkpoint), threads=threads)
    if not Bundle.open(root).manifest.default_precision.startswith(("int8", "mixed")):
        data = work / "data"
        if not data.exists():
            write_synthetic(data, SyntheticConfig(identities=40, cameras=2, shots=2))
        calibrate(root, CalibrationRequest(data=data, budget=100.0, samples=16, threads=threads))
    if not graphs.exists():
        graphs.mkdir()
        export_monoliths(checkpoint, Bundle.open(root), graphs)
    return model, root, graphs


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--only", default=",".join(SECTIONS))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    console = Console(width=110)
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        model, root, graphs = prepare(work, arguments.threads)
        load = partial(Runtime.load, root, "ort-cpu", threads=arguments.threads, preload=True)
        with load(precision="fp32") as fp32, load(precision="int8") as int8:
            setup = Setup(model, root, graphs, fp32, int8, arguments.threads, arguments.rounds)
            console.print(*read_machine().describe(), sep="\n", highlight=False)
            missed = show(console, setup, arguments.only.split(","))
    return 1 if missed else 0


def show(console: Console, setup: Setup, names: Sequence[str]) -> int:
    """Print each section as it is measured; how many goals were missed."""
    missed = 0
    for name in names:
        table = Table("", "measured", "goal", "", "95 % interval", title=name, title_justify="left")
        for goal in SECTIONS[name](setup):
            sign = ">=" if goal.least else "<="
            verdict = "met" if goal.met else "[bold]missed[/bold]"
            limit = "-" if goal.limit == float("inf") else f"{sign} {goal.limit:.2f}"
            table.add_row(
                goal.what, f"{goal.value:.3f}", limit, verdict if limit != "-" else "", goal.note
            )
            missed += not goal.met
        console.print(table)
    return missed


if __name__ == "__main__":
    sys.exit(main())
