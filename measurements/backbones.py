"""What a backbone costs and what it is worth: accuracy, FLOPs, megabytes, milliseconds per state.

    python measurements/backbones.py DATA --out DIR [--preset small] [--config FILE.toml]
        [--backbones resnet18,timm:regnety_002] [--threads 2] [--rounds 30]

Each backbone is trained with the same recipe on DATA, exported, and measured as a bundle, through
the runtime. Runs and bundles in DIR are kept, and a second call goes on where the first stopped.
Times are medians of runs in turn (A B C A B C) at batch 1, in one process.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import torch
from composed import interleave, processor
from rich.console import Console

from denet.checkpoint import load_checkpoint
from denet.data.records import open_data
from denet.embed import BundleEmbedder
from denet.evaluate import evaluate_states
from denet.experiments.figure import means
from denet.files import file_digest, written_whole
from denet.graph import RGB_NIR_TIR, State
from denet.recipe import Recipe, read_recipe
from denet.tables import ranking_facts
from denet.testset import open_split
from denet.train import train
from export import export_bundle
from runtime import Runtime

BACKBONES = "resnet10,resnet18,resnet50,timm:mobilenetv3_large_100,timm:regnety_002"
GROUPS = means(RGB_NIR_TIR)[:3]
"""Complete, one missing, two missing."""


def bundle_of(backbone: str, recipe: Recipe, data: Path, out: Path, threads: int) -> Path:
    """The bundle of a backbone, trained and exported if it is not there."""
    name = backbone.replace(":", "-")
    bundle = out / f"{name}.denet"
    if not bundle.is_dir():
        model = msgspec.structs.replace(recipe.model, backbone=backbone)
        own = msgspec.structs.replace(recipe, model=model)
        best = train(own, open_data(data), out / name, resume=True)
        export_bundle(
            load_checkpoint(best), bundle, checkpoint_sha256=file_digest(best), threads=threads
        )
    return bundle


def accuracy(runtime: Runtime, data: Path, kept: Path) -> dict[str, float]:
    """mAP of a bundle by group of states; measured once."""
    if not kept.is_file():
        ranked = evaluate_states(BundleEmbedder(runtime), open_split(open_data(data)))
        with written_whole(kept) as temporary:
            states = {state.name: ranking_facts(ranking) for state, ranking in ranked.items()}
            temporary.write_text(json.dumps({"states": states}))
    found = json.loads(kept.read_text())
    return {group.name: group.read(found) for group in GROUPS}


def latencies(runtimes: dict[str, Runtime], state: State, rounds: int) -> dict[str, float]:
    """Milliseconds of one sample in `state`, without preprocessing."""
    sides: dict[str, Callable[[], object]] = {}
    for name, runtime in runtimes.items():
        size = runtime.bundle.manifest.preprocessing
        shape = 3, size.height, size.width
        image = np.random.default_rng(0).standard_normal(shape).astype(np.float32)

        def fill(_i: int, _m: object, out: np.ndarray, image: np.ndarray = image) -> None:
            np.copyto(out, image)

        sides[name] = lambda r=runtime, fill=fill: r.composer.run([state], fill)
    return {name: statistics.median(t) for name, t in interleave(sides, rounds).items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--backbones", default=BACKBONES)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=30)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    recipe = read_recipe(arguments.preset, arguments.config)
    arguments.out.mkdir(parents=True, exist_ok=True)
    console = Console(stderr=True)

    runtimes: dict[str, Runtime] = {}
    found: dict[str, dict[str, float]] = {}
    for backbone in arguments.backbones.split(","):
        console.print(f"{backbone} ...", highlight=False)
        bundle = bundle_of(backbone, recipe, arguments.data, arguments.out, arguments.threads)
        runtime = Runtime.load(bundle, "ort-cpu", threads=arguments.threads)
        runtimes[backbone] = runtime
        found[backbone] = accuracy(runtime, arguments.data, bundle.with_suffix(".json"))

    graph = next(iter(runtimes.values())).graph
    times = {state: latencies(runtimes, state, arguments.rounds) for state in graph.states}
    console.print(f"{processor()}, {arguments.threads} threads", highlight=False)
    heads = [
        "backbone",
        *(group.name for group in GROUPS),
        "GFLOP complete",
        "MB",
        *(f"ms {state}" for state in graph.states),
    ]
    print("| " + " | ".join(heads) + " |")
    print("|" + " --- |" * len(heads))
    for name, runtime in runtimes.items():
        engines = runtime.bundle.manifest.engines
        flops = sum(engines[e].flops for e in graph.plan(graph.complete).engines)
        size = sum(engine.files["fp32"].bytes for engine in engines.values())
        cells = [
            name,
            *(f"{value:.1f}" for value in found[name].values()),
            f"{flops / 1e9:.2f}",
            f"{size / 1e6:.0f}",
            *(f"{times[state][name]:.1f}" for state in graph.states),
        ]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
