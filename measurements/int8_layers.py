"""Where the time of a branch goes, operator by operator: ONNX Runtime's beside OpenVINO's.

    python measurements/int8_layers.py model.denet [--precision int8] [--state rgb] [--threads 2]
        [--rounds 60]

The same ONNX file in both, each with its own notes of what a layer takes, in turns. Layers that one
of them fuses into a convolution count as that. Needs the extra `peers`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import openvino
from alternating import PAUSE, WAKING
from numpy.typing import NDArray
from peers import cpu_options
from rich.console import Console
from rich.table import Table

from denet.graph import branch_engine
from runtime import Bundle, Runtime
from runtime.backends.onnxruntime.layers import read_layers
from runtime.backends.onnxruntime.providers import CPU
from runtime.backends.onnxruntime.session import open_session
from runtime.machine import read_machine

Layers = dict[str, float]
"""Milliseconds by operator."""

KINDS = {
    "convolution": ("Conv", "QLinearConv", "FusedConv", "NhwcFusedConv", "Convolution"),
    "addition": ("QLinearAdd", "Add", "FusedAdd", "Eltwise"),
    "pooling": ("NhwcMaxPool", "MaxPool", "Pooling"),
    "mean, maximum": ("ReduceMean", "ReduceMax"),
    "quantize, reorder": (
        *("QuantizeLinear", "DequantizeLinear", "ReorderInput", "ReorderOutput", "Reorder"),
        *("FakeQuantize", "Convert", "Transpose"),
    ),
}
"""What the operators of both are counted as."""

REST = "rest of the attention"

LEAST = 0.01
"""Milliseconds of a side under which a ratio says nothing."""


def kind_of(operator: str) -> str:
    return next((kind for kind, names in KINDS.items() if operator in names), REST)


class OnnxRuntimeSide:
    """ONNX Runtime; its notes are read when all runs are done."""

    def __init__(self, model: bytes, inputs: dict[str, NDArray[np.float32]], folder: Path) -> None:
        self._session = open_session(model, CPU, "branch", profile=folder / "ort")
        self._inputs = inputs

    def run(self) -> None:
        self._session.run(None, self._inputs)

    def layers(self) -> list[list[tuple[str, float]]]:
        runs = read_layers(Path(self._session.end_profiling()))
        return [[(layer.operator, 1e3 * layer.seconds) for layer in run] for run in runs]


class OpenVinoSide:
    """OpenVINO; its notes are those of the last run."""

    def __init__(self, model: bytes, inputs: dict[str, NDArray[np.float32]], threads: int) -> None:
        options = cpu_options(threads) | {"PERF_COUNT": True}
        core = openvino.Core()
        compiled = core.compile_model(core.read_model(model), "CPU", options)
        self._request = compiled.create_infer_request()
        for name, array in inputs.items():
            self._request.set_tensor(name, openvino.Tensor(array, shared_memory=True))
        self.noted: list[list[tuple[str, float]]] = []

    def run(self) -> None:
        self._request.infer()

    def note(self) -> None:
        self.noted.append(
            [
                (layer.node_type, layer.real_time.total_seconds() * 1e3)
                for layer in self._request.profiling_info
                if layer.real_time.total_seconds()
            ]
        )


def summed(runs: list[list[tuple[str, float]]]) -> tuple[Layers, dict[str, int]]:
    """The median time of each kind, and of how many layers."""
    times: dict[str, list[float]] = defaultdict(list)
    counts: dict[str, int] = {}
    for run in runs:
        by_kind: dict[str, float] = defaultdict(float)
        seen: dict[str, int] = defaultdict(int)
        for operator, ms in run:
            by_kind[kind_of(operator)] += ms
            seen[kind_of(operator)] += 1
        for kind, ms in by_kind.items():
            times[kind].append(ms)
        counts |= seen
    return {kind: statistics.median(found) for kind, found in times.items()}, counts


def rows(mine: OnnxRuntimeSide, theirs: OpenVinoSide, rounds: int) -> Iterator[tuple[str, ...]]:
    """Run both in turns, and tell of each kind."""
    for _ in range(rounds):
        for side in (mine, theirs):
            time.sleep(PAUSE)
            for _ in range(WAKING + 1):
                side.run()
        theirs.note()
    noted = mine.layers()[WAKING :: WAKING + 1]
    (ours, our_counts), (others, their_counts) = summed(noted), summed(theirs.noted)
    for kind in (*KINDS, REST):
        a, b = ours.get(kind, 0.0), others.get(kind, 0.0)
        ratio = f"{a / b:.2f}" if min(a, b) > LEAST else ""
        yield (
            kind, f"{a:.3f}", str(our_counts.get(kind, 0)), f"{b:.3f}",
            str(their_counts.get(kind, 0)), ratio,
        )  # fmt: skip
    a, b = sum(ours.values()), sum(others.values())
    yield "all", f"{a:.3f}", "", f"{b:.3f}", "", f"{a / b:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--state", default="rgb")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=60)
    arguments = parser.parse_args()
    bundle = Bundle.open(arguments.bundle)
    modality = bundle.graph.parse(arguments.state).anchor
    engine = branch_engine(modality)
    with Runtime.load(bundle, "ort-cpu", arguments.precision, threads=arguments.threads) as runtime:
        form = runtime.forms[engine]
        random = np.random.default_rng(0)
        shape = (1, *runtime.preprocess.shape)
        (image,) = bundle.manifest.engines[engine].inputs
        inputs = {image.name: random.standard_normal(shape).astype(np.float32)}
        model = bundle.read_engine(engine, form)
        with TemporaryDirectory() as folder:
            mine = OnnxRuntimeSide(model, inputs, Path(folder))
            theirs = OpenVinoSide(model, inputs, arguments.threads)
            table = Table("", "ONNX Runtime ms", "layers", "OpenVINO ms", "layers", "ratio")
            for row in rows(mine, theirs, arguments.rounds):
                table.add_row(*row)
    console = Console(width=110)
    console.print(*read_machine().describe(), sep="\n", highlight=False)
    console.print(f"{bundle.root.name}, {engine} in {form}")
    console.print(table)


if __name__ == "__main__":
    main()
