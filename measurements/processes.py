"""One process with many threads, or several with fewer: what a machine embeds a second.

    python measurements/processes.py BUNDLE [--seconds 10] [--rounds 5] [--batch 16]

Each way embeds the same mixed batches, a missing rate of a half, as fast as it can. The ways take
turns; printed is the median of the ratios, round by round, to one process with a thread for each
core, and the memory of all processes of a way together (PSS).
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
from process_memory import proportional

from runtime.machine import read_cpu
from runtime.runtime import Runtime


def batches(runtime: Runtime, size: int, count: int = 8) -> list[list[dict[str, Any]]]:
    """Mixed batches of random pixels; half of the samples lack one or two modalities."""
    random = np.random.default_rng(0)
    shape = (runtime.bundle.manifest.preprocessing.height,
             runtime.bundle.manifest.preprocessing.width, 3)  # fmt: skip
    states = runtime.graph.states
    made = []
    for _ in range(count):
        chosen = [
            runtime.graph.complete
            if random.random() < 0.5
            else states[random.integers(len(states))]
            for _ in range(size)
        ]
        made.append(
            [{m: random.integers(0, 256, shape, np.uint8) for m in s.available} for s in chosen]
        )
    return made


def embed(
    bundle: Path, precision: str, threads: int, size: int, seconds: float, start: Barrier, told: Any
) -> None:
    """In a process of its own: how many samples it embeds in a time, and what memory it holds."""
    with Runtime.load(bundle, "ort-cpu", precision, threads=threads, max_batch=size) as runtime:
        work = batches(runtime, size)
        for batch in work:
            runtime.embed_batch(batch)
        start.wait()
        began, done = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            runtime.embed_batch(work[done % len(work)])
            done += 1
        told.put((size * done / (time.perf_counter() - began), proportional()))


def throughput(
    bundle: Path, precision: str, processes: int, threads: int, size: int, seconds: float
) -> tuple[float, float]:
    """Samples a second of all processes together, and their MB."""
    context = multiprocessing.get_context("spawn")
    start, told = context.Barrier(processes), context.Queue()
    working = [
        context.Process(target=embed, args=(bundle, precision, threads, size, seconds, start, told))
        for _ in range(processes)
    ]
    for each in working:
        each.start()
    found = [told.get() for _ in working]
    for each in working:
        each.join()
    return sum(rate for rate, _ in found), sum(held for _, held in found)


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=16)
    given = parser.parse_args()
    cores = os.cpu_count() or 1
    ways = list(dict.fromkeys([(1, cores), (1, 1), (2, max(1, cores // 2)), (4, 1)]))
    rates: dict[tuple[int, int], list[float]] = {way: [] for way in ways}
    held: dict[tuple[int, int], float] = {}
    for _ in range(given.rounds):
        for way in ways:
            rate, held[way] = throughput(
                given.bundle, given.precision, *way, given.batch, given.seconds
            )
            rates[way].append(rate)
    cpu = read_cpu()
    machine = f"{cpu.name} ({', '.join(cpu.instructions)}), {cores} cores"
    print(f"{machine}, {given.precision}, batches of {given.batch}\n")
    print(f"| processes x threads | ratio to 1 x {cores} | least to greatest | samples/s | MB |")
    print("|---|---:|---:|---:|---:|")
    for way, found in rates.items():
        ratios = [a / b for a, b in zip(found, rates[ways[0]], strict=True)]
        print(
            f"| {way[0]} x {way[1]} | {statistics.median(ratios):.2f} | "
            f"{min(ratios):.2f} to {max(ratios):.2f} | {statistics.median(found):.0f} | "
            f"{held[way]:.0f} |"
        )


if __name__ == "__main__":
    main()
