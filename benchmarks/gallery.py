"""What searching a gallery costs: time, memory, and the size of its file.

    python benchmarks/gallery.py [--entries 100000] [--dim 512] [--identities 50000] [--rounds 200]

Random embeddings: a search is exact, so what they hold does not change its time. Each storage is
made, closed, and opened in a fresh process: the time to open is that of reading the file into
memory (the first search). A search is timed whole, from the query to the ten best identities; the
least of the rounds is what the machine can do, the median what it did, whatever else ran on it.
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
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from denet.graph import STATES
from runtime.gallery import Enrolment, Scores, Space, open_gallery
from runtime.gallery.scores import Pair, rates_for
from runtime.gallery.scores import Table as ScoreTable
from runtime.gallery.storage import STORAGES

CHUNK = 10_000


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


def resident() -> float:
    """MB of memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def make(path: Path, storage: str, space: Space, entries: int, identities: int) -> float:
    """Milliseconds of one enrolment of one entry, the median; the gallery is full then."""
    with open_gallery(str(path), create=True, storage=storage) as gallery:
        for start in range(0, entries, CHUNK):
            rows = range(start, min(start + CHUNK, entries))
            vectors = unit(len(rows), space.dim, start)
            gallery.enrol(
                space,
                [
                    Enrolment(f"p{i % identities}", STATES[i % 7], v, 0.0)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--identities", type=int, default=50_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=200)
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
            command = [sys.executable, __file__, "--look", str(path)]
            command += ["--dim", str(arguments.dim), "--rounds", str(arguments.rounds)]
            printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            opened, *rest = map(float, printed.split())
            memory, *times = rest
            table.add_row(
                storage,
                f"{path.stat().st_size / 1e6:.0f}",
                f"{opened:.0f}",
                f"{memory:.0f}",
                *(f"{t:.2f}" for t in (*times, enrol)),
            )
    Console(width=200).print(table)


if __name__ == "__main__":
    main()
