"""What a central gallery costs: a file, its copy in PostgreSQL as a node has it, and search there.

    python measurements/central.py DATABASE [--entries 100000] [--dim 512] [--identities 50000]
        [--rounds 200] [--approximate]

DATABASE is the setting of a gallery that is not there yet, as
"postgresql://USER@HOST/DATABASE?schema=measured&password_env=PGPASSWORD"; it is made, and left. The
same entries are in a file. Searches of the file and of the mirror take turns in one process, so
that whatever else runs is beside both; those in the database follow. Every list that was found is
compared with the file's. With `--approximate` indexes are made, and what they miss is measured.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from composed import processor
from gallery import CHUNK, STATES, some_scores, unit
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from runtime.gallery import Enrolment, Gallery, Match, Scores, Space, open_gallery
from runtime.gallery.managed import move
from runtime.gallery.opening import open_central

TOP = 10


def make(path: Path, space: Space, entries: int, identities: int) -> None:
    with open_gallery(str(path), create=True) as gallery:
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


def timed(
    gallery: Gallery, space: Space, query: NDArray[np.float32], scores: Scores | None
) -> tuple[float, list[Match]]:
    """Milliseconds of one search, and what it found."""
    began = time.perf_counter()
    (found,) = gallery.search(space, query[None], STATES[:1], top=TOP, scores=scores)
    return 1e3 * (time.perf_counter() - began), found


def seconds(do: Callable[[], object]) -> float:
    began = time.perf_counter()
    do()
    return time.perf_counter() - began


def row(name: str, times: list[float], base: float, same: str) -> list[str]:
    p50, p99 = statistics.median(times), float(np.percentile(times, 99))
    return [name, f"{p50:.1f}", f"{p99:.1f}", f"{p50 / base:.2f}", same]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("database", metavar="DATABASE")
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--identities", type=int, default=50_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--approximate", action="store_true")
    arguments = parser.parse_args()
    space = Space(arguments.dim, "0" * 64, "0" * 64)
    queries = unit(arguments.rounds, arguments.dim, 99)
    scores = some_scores(space)
    load = os.getloadavg()[0]
    table = Table(
        "search",
        title=f"{arguments.entries} entries of {arguments.identities} identities, "
        f"{arguments.dim} numbers; {processor()}, {os.cpu_count()} cores; "
        f"load of other programs before: {load:.1f}",
        title_justify="left",
    )
    for title in ("p50 ms", "p99 ms", "file's times", "lists that are the file's"):
        table.add_column(title, justify="right")
    central = arguments.database
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gallery.db"
        make(path, space, arguments.entries, arguments.identities)
        with open_gallery(str(path)) as file, open_gallery(central, create=True) as there:
            moved = seconds(lambda: move(file, there))
        with (
            open_gallery(str(path)) as file,
            open_gallery(central) as mirror,
            open_gallery(f"{central}&search=database") as database,
        ):
            opened = [
                seconds(lambda g=g: timed(g, space, queries[0], None)) for g in (file, mirror)
            ]
            for name, used in (("", None), (", with scores", scores)):
                expected, times = [], ([], [], [])
                same = [0, 0]
                for query in queries:
                    took, truth = timed(file, space, query, used)
                    times[0].append(took)
                    expected.append(truth)
                    took, found = timed(mirror, space, query, used)
                    times[1].append(took)
                    same[0] += found == truth
                for query, truth in zip(queries, expected, strict=True):
                    took, found = timed(database, space, query, used)
                    times[2].append(took)
                    same[1] += found == truth
                base = statistics.median(times[0])
                table.add_row(*row(f"file{name}", times[0], base, ""))
                for number, kind in ((1, "mirror"), (2, "database")):
                    share = f"{same[number - 1]} of {len(queries)}"
                    table.add_row(*row(f"{kind}{name}", times[number], base, share))
            vectors = unit(50, space.dim, 7)
            enrolled = [
                seconds(lambda v=v: mirror.enrol(space, [Enrolment("p0", STATES[0], v, 0.0)]))
                for v in vectors
            ]
    Console(width=160).print(table)
    print(
        f"copied from the file and checked in {moved:.1f} s; read into memory: file "
        f"{opened[0]:.2f} s, mirror {opened[1]:.2f} s; enrolling one: "
        f"{1e3 * statistics.median(enrolled):.1f} ms"
    )
    if arguments.approximate:
        with open_central(central) as gallery:
            began = time.perf_counter()
            print(gallery.index(100), f"made and measured in {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
