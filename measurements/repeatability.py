"""Whether two runs of `denet bench` agree within the spread that they state.

    python measurements/repeatability.py BUNDLE [--threads 2] [--pause SECONDS]
        [-- OPTIONS OF denet bench]

Runs it twice. Each thing that both have is compared: by how much the second differs from the first,
and the spread, which is from the least to the greatest of its stretches (or of its repetitions) in
the run in which that is wider. What has no spread at all, such as bytes on disk, must be the same.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from composed import processor
from rich.console import Console
from rich.table import Table

from runtime.benchmark.compare import Change, compare
from runtime.benchmark.files import read_report
from runtime.benchmark.result import BenchmarkReport

ROOT = Path(__file__).parents[1]


def bench(bundle: Path, threads: int, options: list[str], out: Path) -> BenchmarkReport:
    command = [sys.executable, str(ROOT / "cli.py"), "bench", str(bundle)]
    command += ["--threads", str(threads), "--out", str(out), *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return read_report(out)


def spread(change: Change) -> float:
    return max((v.high - v.low) / v.value if v.value else 0.0 for v in (change.old, change.new))


def agrees(change: Change) -> bool:
    return abs(change.ratio - 1) <= spread(change)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pause", type=float, default=0.0, help="between the two, in seconds")
    parser.add_argument("options", nargs="*")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        reports = []
        for name in ("first", "second"):
            if reports:
                time.sleep(wanted.pause)
            out = Path(folder) / f"{name}.json"
            reports.append(bench(wanted.bundle, wanted.threads, wanted.options, out))
    found = compare(*reports)
    print(processor())
    for difference in found.differences:
        print(f"  {difference}")
    table = Table(
        "", "things", "agree within the spread", "change: median", "most", "spread: median"
    )
    for name, judged in (("states and what is judged", True), ("engines and single events", False)):
        changes = [c for c in found.changes if c.old.judged == judged]
        if not changes:
            continue
        moved = [abs(c.ratio - 1) for c in changes]
        table.add_row(
            name,
            str(len(changes)),
            str(sum(map(agrees, changes))),
            f"{statistics.median(moved):.1%}",
            f"{max(moved):.1%}",
            f"{statistics.median(map(spread, changes)):.1%}",
        )
    Console(width=120).print(table)
    for change in found.changes:
        if not agrees(change):
            beyond = "beyond the noise" if change.beyond_noise else "within the noise"
            print(f"  {change.describe()}; spread {spread(change):.1%}; {beyond}")


if __name__ == "__main__":
    main()
