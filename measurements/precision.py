"""What precision buys: INT8 against FP32 composed, per state, and per engine and form.

    python measurements/precision.py BUNDLE [--precision int8] [--threads 2] [--rounds 30]

BUNDLE was calibrated (`denet calibrate`). Both sides run in turn (A B A B ...) in one process, at
batch 1, in one thread pool, on the same input; ratios are medians, pair by pair. Both copy
their input into a bound buffer; decoding and resizing are no part of either. The bundle's
sizes are those of `denet slim`.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from composed import interleave, one_of_each, processor, ratio
from rich.console import Console
from rich.table import Table

from runtime import Bundle, Runtime
from runtime.backends.onnxruntime.library import ort
from runtime.bundle.forms import FORMS, Form
from runtime.bundle.slim import slim


def states_table(fp32: Runtime, reduced: Runtime, rounds: int) -> Table:
    """Each missing state in both."""
    table = Table("state", title=f"Composed, batch 1: {reduced.variant} / FP32")
    for column in ("FP32 ms", f"{reduced.variant} ms", "ratio"):
        table.add_column(column, justify="right")
    random = np.random.default_rng(0)
    size = fp32.bundle.manifest.preprocessing
    images = {
        m: random.standard_normal((3, size.height, size.width), np.float32)
        for m in fp32.graph.modalities
    }
    for state in fp32.graph.states:
        sample = {m: images[m] for m in state.available}
        times = interleave(
            {
                "fp32": partial(fp32.composer.run_tensors, [sample]),
                "reduced": partial(reduced.composer.run_tensors, [sample]),
            },
            rounds,
        )
        table.add_row(
            state.name,
            *(f"{statistics.median(times[side]):.2f}" for side in ("fp32", "reduced")),
            f"{ratio(times, 'reduced', 'fp32'):.3f}",
        )
    return table


def engines_table(bundle: Bundle, rounds: int) -> Table:
    """Each kind of engine in each form that a CPU can run."""
    names = one_of_each(bundle.graph)
    forms = [f for f in FORMS if f in bundle.manifest.engines[names[0]].files and f != "int8-trt"]
    table = Table("engine", title="Engines, batch 1, ms (and / FP32)")
    for form in forms:
        table.add_column(form, justify="right")
        table.add_column("MB", justify="right")
    for engine in names:
        spec = bundle.manifest.engines[engine]
        sides: dict[str, Callable[[], object]] = {f: runner(bundle, engine, f) for f in forms}
        times = interleave(sides, rounds)
        cells = []
        for form in forms:
            median = statistics.median(times[form])
            cells += [
                f"{median:.2f} ({ratio(times, form, 'fp32'):.2f})",
                f"{spec.files[form].bytes / 1e6:.1f}",
            ]
        table.add_row(engine, *cells)
    return table


def runner(bundle: Bundle, engine: str, form: Form) -> Callable[[], object]:
    """One engine on random input."""
    options = ort.SessionOptions()
    options.use_per_session_threads = False
    session = ort.InferenceSession(
        bundle.read_engine(engine, form), options, providers=["CPUExecutionProvider"]
    )
    random = np.random.default_rng(0)
    inputs = {
        tensor.name: random.random(
            [d if isinstance(d, int) else 1 for d in tensor.shape], np.float32
        )
        for tensor in bundle.manifest.engines[engine].inputs
    }
    return partial(session.run, None, inputs)


def sizes_table(bundle: Bundle, variants: list[str]) -> Table:
    """Bytes of a bundle that holds one variant alone."""
    table = Table("bundle", title="Bundle with one precision (denet slim)")
    table.add_column("MB", justify="right")
    table.add_column("/ FP32", justify="right")
    with tempfile.TemporaryDirectory() as folder:
        made = {v: slim(bundle, Path(folder, f"{v}.denet"), v) for v in variants}
        total = {
            v: sum(p.stat().st_size for p in b.root.rglob("*") if p.is_file())
            for v, b in made.items()
        }
    for name, size in total.items():
        table.add_row(name, f"{size / 1e6:.1f}", f"{size / total['fp32']:.3f}")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--precision", default="int8", choices=("fp16", "int8", "mixed"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=30)
    arguments = parser.parse_args()
    console = Console(width=120)
    bundle = Bundle.open(arguments.bundle)
    threads = arguments.threads
    with (
        Runtime.load(bundle, "ort-cpu", "fp32", threads=threads, preload=True) as fp32,
        Runtime.load(
            bundle, "ort-cpu", arguments.precision, threads=threads, preload=True
        ) as reduced,
    ):
        graph = bundle.graph
        console.print(
            f"{processor()}, {threads} threads, ONNX Runtime {ort.__version__}; "
            f"{bundle.manifest.model['backbone']}, "
            f"{len(graph.plan(graph.complete).calls)} engines complete"
        )
        console.print(states_table(fp32, reduced, arguments.rounds))
        console.print(engines_table(bundle, arguments.rounds))
        console.print(sizes_table(bundle, list(bundle.manifest.variants)))


if __name__ == "__main__":
    main()
