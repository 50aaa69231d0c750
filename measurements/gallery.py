"""What searching a gallery costs: time, memory, and the size of its file.

    python measurements/gallery.py [--entries 100000] [--dim 512] [--identities 50000]
        [--rounds 200] [--beside BUNDLE]

Random embeddings: a search is exact, so what they hold does not change its time. Each storage is
made, closed, and opened in a fresh process: the time to open is that of reading the file into
memory (the first search). A search is timed whole, from the query to the ten best identities; the
least of the rounds is what the machine can do, the median what it did, whatever else ran on it.
With `--beside` the default storage is searched once more while a node embeds 25 triplets a second
on the same cores.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from composed import processor
from node import config, recording
from numpy.typing import NDArray
from process_memory import resident
from rich.console import Console
from rich.table import Table

from denet.graph import RGB_NIR_TIR
from runtime.gallery import Enrolment, Scores, Space, open_gallery
from runtime.gallery.file import DEFAULT as DEFAULT_STORAGE
from runtime.gallery.scores import Pair, ScoreTable, rates_for
from runtime.gallery.storage import STORAGES
from runtime.node import Node, read_settings

CHUNK = 10_000
NODE_RATE = 25.0

STATES = RGB_NIR_TIR.states


def unit(rows: int, dim: int, seed: int) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).standard_normal((rows, dim), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def some_scores(space: Space) -> Scores:
    """A table in which every pair of states has a curve of its own."""
    rates = rates_for(1_000_000)
    pairs = {
        q.name: {
            g.name: Pair(
                impostors=1_000_000,
                genuine=0,
                cosines=tuple((np.linspace(-0.9, 0.9, len(rates)) + i / 100).tolist()),
                found=tuple([0.0] * len(rates)),
            )
            for i, g in enumerate(STATES)
        }
        for q in STATES
    }
    table = ScoreTable(
        dim=space.dim,
        checkpoint=space.checkpoint,
        projection=space.projection,
        data="drawn",
        variant="fp32",
        identities=1000,
        rates=tuple(rates.tolist()),
        pairs=pairs,
    )
    return Scores(table, "scores")


def make(path: Path, storage: str, space: Space, entries: int, identities: int) -> float:
    """Milliseconds of one enrolment of one entry, the median; the gallery is full then."""
    with open_gallery(str(path), create=True, storage=storage) as gallery:
        for start in range(0, entries, CHUNK):
            rows = range(start, min(start + CHUNK, entries))
            vectors = unit(len(rows), space.dim, start)
            gallery.enrol(
                space,
                [
                    Enrolment(f"p{i % identities}", STATES[i % len(STATES)], v, 0.0)
                    for i, v in zip(rows, vectors, strict=True)
                ],
            )
        times = []
        for vector in unit(50, space.dim, 7):
            began = time.perf_counter()
            gallery.enrol(space, [Enrolment("p0", STATES[0], vector, 0.0)])
            times.append(time.perf_counter() - began)
    return 1e3 * statistics.median(times)


def look(path: Path, space: Space, rounds: int) -> list[float]:
    """Open, MB, and of one query the least and median time, with scores the median, and of 16
    queries together the median for each; milliseconds."""
    before, began = resident(), time.perf_counter()
    queries = unit(rounds + 16, space.dim, 99)
    scores = some_scores(space)
    with open_gallery(str(path)) as gallery:

        def search(count: int, row: int, table: Scores | None = None) -> float:
            begun = time.perf_counter()
            gallery.search(space, queries[row : row + count], STATES[:1] * count, scores=table)
            return 1e3 * (time.perf_counter() - begun)

        began = time.perf_counter()
        search(1, 0)
        opened, memory = time.perf_counter() - began, resident() - before
        plain = [search(1, row) for row in range(rounds)]
        scored = [search(1, row, scores) for row in range(rounds)]
        many = [search(16, row) / 16 for row in range(0, rounds, 16)]
    return [
        1e3 * opened,
        memory,
        min(plain),
        statistics.median(plain),
        statistics.median(scored),
        statistics.median(many),
    ]


def cells(name: str, path: Path, found: list[float], enrol: float | None) -> list[str]:
    opened, memory, *times = found
    return [
        name,
        f"{path.stat().st_size / 1e6:.0f}",
        f"{opened:.0f}",
        f"{memory:.0f}",
        *(f"{t:.2f}" for t in times),
        "" if enrol is None else f"{enrol:.2f}",
    ]


def in_fresh_process(path: Path, dim: int, rounds: int) -> list[float]:
    """What `look` tells of the gallery at `path`."""
    command = [sys.executable, __file__, "--look", str(path)]
    command += ["--dim", str(dim), "--rounds", str(rounds)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return list(map(float, printed.split()))


def beside_a_node(bundle: Path, folder: Path, path: Path, dim: int, rounds: int) -> list[float]:
    """As `in_fresh_process`, while a node runs; says what the node did meanwhile."""
    settings = read_settings(config(folder, bundle, recording(folder / "images"), NODE_RATE))
    with Node(settings, notify=lambda _line: None) as node:
        node.start()
        while node.snapshot().crops.left < NODE_RATE:  # one second of it, once all is loaded
            time.sleep(0.1)
        before = node.snapshot()
        found = in_fresh_process(path, dim, rounds)
        after = node.snapshot()
    seconds = after.running - before.running
    embedded = (after.crops.left - before.crops.left) / seconds
    p50, p99 = (1e3 * (v or 0.0) for v in (after.latency.p50, after.latency.p99))
    print(
        f"the node meanwhile, {before.bundle}: {embedded:.1f} embeddings/s of {NODE_RATE:g}, "
        f"latency p50 {p50:.0f} ms, p99 {p99:.0f} ms"
    )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--identities", type=int, default=50_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--beside", type=Path, metavar="BUNDLE")
    parser.add_argument("--look", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    space = Space(arguments.dim, "0" * 64, "0" * 64)
    if arguments.look is not None:
        print(*look(arguments.look, space, arguments.rounds))
        return
    load = os.getloadavg()[0]
    table = Table(
        "storage",
        title=f"{arguments.entries} entries of {arguments.identities} identities, "
        f"{arguments.dim} numbers; {processor()}, {os.cpu_count()} cores, numpy "
        f"{np.__version__}; load of other programs before: {load:.1f}",
        title_justify="left",
    )
    for title in ("file MB", "open ms", "memory MB", "search ms: least", "p50", "p50 with scores",
                  "of 16 together", "enrol one ms"):  # fmt: skip
        table.add_column(title, justify="right")
    with tempfile.TemporaryDirectory() as folder:
        for storage in STORAGES:
            path = Path(folder) / f"{storage}.db"
            enrol = make(path, storage, space, arguments.entries, arguments.identities)
            found = in_fresh_process(path, arguments.dim, arguments.rounds)
            table.add_row(*cells(storage, path, found, enrol))
        if arguments.beside is not None:
            path = Path(folder) / f"{DEFAULT_STORAGE}.db"
            found = beside_a_node(
                arguments.beside, Path(folder), path, arguments.dim, arguments.rounds
            )
            table.add_row(*cells(f"{DEFAULT_STORAGE}, beside a node", path, found, None))
    Console(width=200).print(table)


if __name__ == "__main__":
    main()
