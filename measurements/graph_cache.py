"""What a cache of optimized graphs is worth: fresh processes with one and without one, in turn.

    python measurements/graph_cache.py BUNDLE --precision int8 --rounds 10

Prints for each state, and for all of them, the median of the ratios pair by pair: the time of
loading to the first embedding with the cache by the time without it; and the bytes that it takes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from runtime.bundle.bundle import Bundle

CHILD = """
import sys, time
from pathlib import Path
from runtime import Runtime
bundle, precision, names, cache, threads = sys.argv[1:]
began = time.perf_counter()
with Runtime.load(
    bundle, "ort-cpu", precision, threads=int(threads), cache=cache or None
) as runtime:
    states = [runtime.graph.parse(name) for name in names.split(",")]
    runtime.prepare(states)
    runtime.check(states, samples=1)
print(time.perf_counter() - began)
"""


def seconds(bundle: Path, precision: str, states: list[str], cache: str, threads: int) -> float:
    """From loading to a golden embedding in each of the states, in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(bundle), precision, ",".join(states), cache,
         str(threads)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(done.stdout)


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    graph = Bundle.open(given.bundle).graph
    kinds = {state.name: [state.name] for state in graph.states}
    kinds["all"] = [state.name for state in graph.states]
    ratios: dict[str, list[float]] = {name: [] for name in kinds}
    with tempfile.TemporaryDirectory() as cache:
        seconds(given.bundle, given.precision, kinds["all"], cache, given.threads)  # fills it
        for _ in range(given.rounds):
            for name, states in kinds.items():
                without, kept = (
                    seconds(given.bundle, given.precision, states, at, given.threads)
                    for at in ("", cache)
                )
                ratios[name].append(kept / without)
        size = sum(path.stat().st_size for path in Path(cache).iterdir())
    print(f"| {given.precision}, {given.rounds} pairs of processes | ratio | least to greatest |")
    print("|---|---:|---:|")
    for name, found in ratios.items():
        print(f"| {name} | {statistics.median(found):.2f} | {min(found):.2f} to {max(found):.2f} |")
    print(f"\nthe cache has {size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
