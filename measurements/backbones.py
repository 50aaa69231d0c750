"""What the backbones of `denet experiment backbones` cost: megabytes, and milliseconds per state.

    python measurements/backbones.py EXPERIMENTS DATA --out DIR
        [--seed 0] [--threads 2] [--rounds 30]

EXPERIMENTS is where that command trained them, DATA their set. The checkpoint of each is exported
and calibrated to INT8 as `denet export` and `denet calibrate` do by default, and kept in DIR. Times
are medians of runs in turn (A B C A B C) at batch 1, in one process, without preprocessing.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from composed import interleave, processor
from rich.console import Console

from calibration import CalibrationRequest, calibrate
from denet.checkpoint import load_checkpoint
from denet.experiments.catalog import experiment
from denet.files import file_digest
from denet.graph import State
from denet.run import BEST
from export import export_bundle
from runtime import Bundle, Runtime

PRECISIONS = ("fp32", "int8")


def bundle_of(checkpoint: Path, data: Path, out: Path, threads: int) -> Path:
    """The bundle of a checkpoint, calibrated; made if it is not there."""
    root = out / f"{checkpoint.parent.name}.denet"
    if not root.is_dir():
        model, digest = load_checkpoint(checkpoint), file_digest(checkpoint)
        export_bundle(model, root, checkpoint_sha256=digest, threads=threads)
    if "int8" not in {name.partition("-")[0] for name in Bundle.open(root).manifest.variants}:
        calibrate(root, CalibrationRequest(data=data, precision="int8", threads=threads))
    return root


def latencies(runtimes: Mapping[str, Runtime], state: State, rounds: int) -> dict[str, float]:
    """Milliseconds of one sample in `state`."""
    sides: dict[str, Callable[[], object]] = {}
    for name, runtime in runtimes.items():
        size = runtime.bundle.manifest.preprocessing
        shape = 3, size.height, size.width
        image = np.random.default_rng(0).standard_normal(shape).astype(np.float32)

        def fill(_i: int, _m: object, out: np.ndarray, image: np.ndarray = image) -> None:
            np.copyto(out, image)

        sides[name] = lambda r=runtime, fill=fill: r.composer.run([state], fill)
    return {name: statistics.median(t) for name, t in interleave(sides, rounds).items()}


def megabytes(runtime: Runtime) -> float:
    """Of all engines."""
    engines = runtime.bundle.manifest.engines
    return sum(engines[e].files[form].bytes for e, form in runtime.forms.items()) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("experiments", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=30)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    console = Console(stderr=True)

    runtimes: dict[str, Runtime] = {}
    labels: dict[str, str] = {}
    for variant in experiment("backbones").variants:
        run = arguments.experiments / "runs" / f"{variant.key}-seed{arguments.seed}"
        if not (run / BEST).is_file():
            console.print(f"{run}: not trained yet", highlight=False)
            continue
        console.print(f"{variant.label} ...", highlight=False)
        root = bundle_of(run / BEST, arguments.data, arguments.out, arguments.threads)
        labels[variant.key] = variant.label
        for precision in PRECISIONS:
            runtimes[f"{variant.key} {precision}"] = Runtime.load(
                root, "ort-cpu", precision=precision, threads=arguments.threads, preload=True
            )

    groups = next(iter(runtimes.values())).graph.groups
    times = {
        group: [latencies(runtimes, state, arguments.rounds) for state in states]
        for group, states in groups.items()
    }
    console.print(f"{processor()}, {arguments.threads} threads", highlight=False)
    heads = ["backbone", "precision", "MB", *(f"ms {group}" for group in groups)]
    print("| " + " | ".join(heads) + " |")
    print("| --- | --- |" + " ---: |" * (len(heads) - 2))
    for key, label in labels.items():
        for precision in PRECISIONS:
            name = f"{key} {precision}"
            each = [statistics.mean(found[name] for found in times[group]) for group in groups]
            cells = [label, precision.upper(), f"{megabytes(runtimes[name]):.0f}"]
            print("| " + " | ".join([*cells, *(f"{ms:.1f}" for ms in each)]) + " |")


if __name__ == "__main__":
    main()
