"""What training costs: images per second, waiting for data, memory, and the collapsed DEM.

    python measurements/training.py [--preset small] [--config FILE.toml] [--threads 2]
        [--identities 40] [--height 128] [--width 64] [--epochs 3] [--rounds 10]

A synthetic set of the given size is drawn into a temporary directory, and half of its people are
trained on, each time in a process of its own: with the recipe's workers and with none. The first
epoch of each phase warms up and does not count. The DEM's six edges, forward and backward, are
timed against the paper's form, which makes key, value, query and enhanced feature as maps: in turn
(A B A B) in one process, as the median of the ratios pair by pair.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch
from composed import processor
from rich.console import Console
from rich.table import Table
from torch import Tensor

from denet.data.records import open_data
from denet.data.synthetic import SyntheticConfig, write_synthetic
from denet.dem import DEMEdge
from denet.graph import dem_engine
from denet.model import DENet
from denet.recipe import Recipe, read_recipe
from denet.run import EpochReport
from denet.schedule import phase_of
from denet.train import train


@dataclass(frozen=True)
class Cost:
    """Of the epochs of a phase after its first: means, and the greatest memory so far of the
    training process in GB, without those that load data."""

    images_per_second: float
    waiting: float
    memory: float


def measure(recipe: Recipe, root: Path, threads: int) -> dict[str, Cost]:
    """Train in this process, into a directory that is thrown away; by phase."""
    torch.set_num_threads(threads)
    reports: list[EpochReport] = []
    with tempfile.TemporaryDirectory() as folder:
        train(recipe, open_data(root), Path(folder) / "run", on_epoch=reports.append)
    phases: dict[str, list[EpochReport]] = {}
    for report in reports:
        phases.setdefault(phase_of(recipe.train, report.epoch - 1), []).append(report)
    return {
        phase: Cost(
            statistics.mean(r.images_per_second for r in mine[1:]),
            statistics.mean(r.waiting for r in mine[1:]),
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        )
        for phase, mine in phases.items()
    }


def in_a_process(recipe: Recipe, root: Path, threads: int) -> dict[str, Cost]:
    # One that starts afresh: its memory is its own, and it inherits no threads.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(measure, recipe, root, threads).result()


def naive_edge(edge: DEMEdge, source: Tensor, target: Tensor) -> Tensor:
    """GAP(E_{s->t}) as the paper writes it, Eq. 5-6, on feature maps (B, C, h, w)."""
    source, target = source.flatten(2).transpose(1, 2), target.flatten(2).transpose(1, 2)
    key, value, query = edge.key(source), edge.value(source), edge.query(target)  # (B, N, c)
    attention = torch.bmm(query, key.transpose(1, 2)) / source.shape[1]  # (B, N, N)
    enhanced: Tensor = edge.out(torch.bmm(attention, value))
    return enhanced.mean(dim=1)


def dem_times(recipe: Recipe, rounds: int) -> tuple[float, float, float]:
    """Milliseconds of all edges in the collapsed and in the naive form, and the median ratio."""
    torch.manual_seed(0)
    model = DENet(recipe.model).eval()  # the norm of an edge is a constant then
    batch = recipe.train.identities * recipe.train.instances
    shape = (batch, model.channels, *model.feature_size)
    features = [torch.randn(shape, requires_grad=True) for _ in range(2)]
    edges = [model.engines[dem_engine(*pair)] for pair in model.graph.pairs]

    def collapsed() -> Tensor:
        pooled = features[1].mean(dim=(2, 3))[None]
        return torch.stack(
            [edge(features[0], pooled, torch.zeros_like(pooled)).enhanced[0] for edge in edges]
        )

    def naive() -> Tensor:
        return torch.stack([naive_edge(edge, *features) for edge in edges])

    torch.testing.assert_close(collapsed(), naive(), rtol=1e-3, atol=1e-4)
    times: dict[str, list[float]] = {"collapsed": [], "naive": []}
    for round_ in range(-2, rounds):
        for name, form in (("collapsed", collapsed), ("naive", naive)):
            start = time.perf_counter()
            form().square().sum().backward()
            if round_ >= 0:
                times[name].append((time.perf_counter() - start) * 1e3)
    ratios = [a / b for a, b in zip(times["naive"], times["collapsed"], strict=True)]
    return (
        statistics.median(times["collapsed"]),
        statistics.median(times["naive"]),
        statistics.median(ratios),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--preset", default="small")
    parser.add_argument("--config", type=Path, help="TOML that overrides the preset")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--identities", type=int, default=40, help="half of them are trained on")
    parser.add_argument("--height", type=int, default=128, help="of the images on disk")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=3, help="of each phase")
    parser.add_argument("--rounds", type=int, default=10, help="of the DEM")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    recipe = read_recipe(arguments.preset, arguments.config)
    chosen = msgspec.structs.replace(
        recipe.train,
        epochs=arguments.epochs,
        graph_epochs=arguments.epochs if recipe.train.graph_epochs else 0,
        pretrained=False,
        validation=0,
    )
    recipe = msgspec.structs.replace(recipe, train=chosen)
    console = Console(width=110)
    console.print(
        f"{processor()}, {arguments.threads} threads, torch {torch.__version__}; preset "
        f"{arguments.preset}, {recipe.model.backbone}, batches of {chosen.identities} x "
        f"{chosen.instances}, precision {chosen.precision}"
    )
    table = Table("workers", "phase", "images/s", "waiting", "peak memory GB", title="Training")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "data"
        write_synthetic(
            root,
            SyntheticConfig(
                identities=arguments.identities, height=arguments.height, width=arguments.width
            ),
        )
        for workers in dict.fromkeys((chosen.workers, 0)):
            given = msgspec.structs.replace(
                recipe, train=msgspec.structs.replace(chosen, workers=workers)
            )
            for phase, cost in in_a_process(given, root, arguments.threads).items():
                table.add_row(
                    str(workers),
                    phase,
                    f"{cost.images_per_second:.1f}",
                    f"{cost.waiting:.2%}",
                    f"{cost.memory:.2f}",
                )
    console.print(table)
    collapsed, naive, ratio = dem_times(recipe, arguments.rounds)
    table = Table("form", "ms", "/ collapsed", title="DEM: six edges, a batch")
    table.add_row("collapsed", f"{collapsed:.1f}", "1.00")
    table.add_row("naive", f"{naive:.1f}", f"{ratio:.2f}")
    console.print(table)


if __name__ == "__main__":
    main()
