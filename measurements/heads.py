"""Several heads in one node, against as many nodes, and against one head with all of the load.

    python measurements/heads.py BUNDLE [--heads 1,2,4,8] [--seconds 15] [--rounds 3] [--times 1.5]

A drawn street is replayed from a folder, in a loop, with eight boxes in each moment. All sides are
offered the same crops in all, so many times what the engines do alone in full batches: moments come
N times as often to one head as to each of N. The sides take turns, each as processes of its own,
`denet node run`: N heads in a node, N nodes of one head at once, one head. Counted is what was
embedded within the seconds after all of them run, for each second of the clock, and for each second
of CPU that the processes of the side took: on a machine that is shared with other work, only the
latter is theirs. Memory is the proportional set size (PSS) and the resident one of all processes of
a side together, at the end. All are medians over the rounds, ratios of the sides of one round.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from composed import processor
from PIL import Image
from process_memory import cpu_seconds, proportional, resident

from denet.data.synthetic.street import Street
from denet.folders import FOLDERS, folder_of
from runtime.node.demo.recording import RATE, SEED, SIZE, VISITS
from runtime.node.shedding.costs import measure_costs
from runtime.runtime import Runtime

ROOT = Path(__file__).parents[1]
MOMENTS = 60
LARGEST = 8
BOXES = [[8 + 40 * i, 70, 48 + 40 * i, 170] for i in range(8)]


@dataclass(frozen=True)
class Result:
    """What a side did: crops a second that were embedded, and that came; crops for each second of
    CPU; MB of memory."""

    rate: float
    offered: float
    by_cpu: float
    pss: float
    rss: float


def record(folder: Path) -> None:
    """A folder of moments, and the boxes in each."""
    street = Street(SEED, 1 + max(visit.person for visit in VISITS), SIZE)
    for m in FOLDERS:
        (folder / folder_of(m)).mkdir(parents=True)
    with (folder / "boxes.jsonl").open("w", encoding="utf-8") as lines:
        for number, frame in enumerate(street.frames(VISITS, RATE, MOMENTS)):
            name = f"{number:06}"
            for m, pixels in frame.pixels.items():
                Image.fromarray(pixels).save(folder / folder_of(m) / f"{name}.jpg", quality=92)
            lines.write(json.dumps({"name": name, "boxes": BOXES}) + "\n")


def config(path: Path, bundle: Path, images: Path, names: Sequence[str], rate: float) -> Path:
    """A node with a head for each name, each replayed at so many moments a second."""
    heads = "".join(
        f'[[heads]]\nname = "{name}"\n'
        + "".join(
            f'[heads.sources.{m}]\nurl = "folder:{images}"\nrate = {rate}\nloop = true\n'
            for m in FOLDERS
        )
        for name in names
    )
    timing = f"[timing]\ntolerance = {0.4 / rate:.5f}\npatience = {max(0.05, 2 / rate):.3f}\n"
    boxes = f'[boxes]\nfile = "{images}/boxes.jsonl"\n'
    model = f'[model]\nbundle = "{bundle.resolve()}"\nbackend = "ort-cpu"\n'
    path.write_text(
        f'name = "bench"\n{model}{timing}{boxes}[batches]\nlargest = {LARGEST}\n{heads}'
    )
    return path


def side(configs: Sequence[Path], seconds: float) -> Result:
    """Run a node for each configuration at once."""
    with ExitStack() as running:
        nodes = []
        for path in configs:
            command = [sys.executable, str(ROOT / "cli.py"), "node", "run", str(path), "--json"]
            nodes.append(
                running.enter_context(
                    subprocess.Popen(
                        command,
                        stdout=subprocess.PIPE,
                        stderr=subprocess.DEVNULL,
                        text=True,
                        cwd=ROOT,
                    )
                )
            )
        for node in nodes:
            running.callback(node.terminate)
        began = [_next(node) for node in nodes]  # the first line of each: all of them run
        # What the first of them told while the others began has been waiting in its pipe.
        began = [_newest(node, fact) for node, fact in zip(nodes, began, strict=True)]
        before = sum(cpu_seconds(node.pid) for node in nodes)
        time.sleep(seconds)
        ended = [_newest(node, fact) for node, fact in zip(nodes, began, strict=True)]
        spent = sum(cpu_seconds(node.pid) for node in nodes) - before
        memory = [(proportional(node.pid), resident(node.pid)) for node in nodes]
    pairs = list(zip(began, ended, strict=True))

    def rate(what: str) -> float:
        return sum(
            (b["crops"][what] - a["crops"][what]) / (b["running"] - a["running"]) for a, b in pairs
        )

    pss, rss = (sum(each) for each in zip(*memory, strict=True))
    embedded = sum(b["crops"]["left"] - a["crops"]["left"] for a, b in pairs)
    return Result(rate("left"), rate("entered"), embedded / spent, pss, rss)


def _next(node: subprocess.Popen[str]) -> dict[str, Any]:
    assert node.stdout is not None
    line = node.stdout.readline()
    if not line:
        raise SystemExit(f"a node ended with {node.wait()}")
    found: dict[str, Any] = json.loads(line)
    return found


def _newest(node: subprocess.Popen[str], fact: dict[str, Any]) -> dict[str, Any]:
    """What it tells about now, of a line each second."""
    end = time.time()
    while fact["time"] < end:
        fact = _next(node)
    return fact


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--heads", default="1,2,4,8")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--times", type=float, default=1.5, help="of what the engines do alone")
    args = parser.parse_args()
    with Runtime.load(args.bundle, "ort-cpu", max_batch=LARGEST, preload=True) as runtime:
        costs = measure_costs(runtime, runtime.bundle.manifest, LARGEST)
        rate = args.times / costs[runtime.graph.complete] / len(BOXES)
        print(f"{processor()}; {args.bundle} on {runtime.backend} in {runtime.variant}")
        print(f"engines alone: {1 / costs[runtime.graph.complete]:.0f} crops/s, complete state")
    print(f"offered to each side: {rate * len(BOXES):.0f} crops/s in {rate:.1f} moments/s\n")
    print(
        "| heads | embedded of came, crops/s | crops by CPU time: N nodes | one head "
        "| by the clock: N nodes | one head | PSS, RSS: one node | N nodes |"
    )
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        record(folder / "street")
        for count in map(int, args.heads.split(",")):
            names = [f"h{i}" for i in range(count)]
            made = (args.bundle, folder / "street")
            together = [config(folder / "together.toml", *made, names, rate / count)]
            single = [config(folder / "single.toml", *made, names[:1], rate)]
            apart = [config(folder / f"{n}.toml", *made, [n], rate / count) for n in names]
            rounds = []
            for turn in range(args.rounds):
                sides = [together, apart, single][:: -1 if turn % 2 else 1]
                results = [side(configs, args.seconds) for configs in sides]
                rounds.append(results[:: -1 if turn % 2 else 1])
            one, nodes, _ = zip(*rounds, strict=True)
            ratios = [
                f"{median(getattr(r[0], what) / getattr(r[of], what) for r in rounds):.2f}"
                for what in ("by_cpu", "rate")
                for of in (1, 2)
            ]
            print(
                f"| {count} | {median(r.rate for r in one):.0f} "
                f"of {median(r.offered for r in one):.0f} | {' | '.join(ratios)} "
                f"| {median(r.pss for r in one):.0f}, {median(r.rss for r in one):.0f} MB "
                f"| {median(r.pss for r in nodes):.0f}, {median(r.rss for r in nodes):.0f} MB |",
                flush=True,
            )


if __name__ == "__main__":
    main()
