"""What serving a bundle costs, and whether an exchange of it under load fails a request.

    python measurements/serving.py BUNDLE [--clients 16] [--seconds 10] [--rounds 5]
        [--other OTHER] [--delay 2] [--processes 1]

Starts the server of nvidia-pytriton (see tests/runtime/serve/triton.py for where it has to be), and
embeds samples in mixed states, the seven in turn, of crops of the size of the network's input:

- `embed_batch` in this process, in batches of as many samples as there are clients;
- clients in threads of another process, that ask again once they are answered: one, and
  `--clients`; one sample a request, of pixels and of JPEG, and batches of eight, as nodes ask.

In process and served take turns, so that whatever else runs is beside both; the ratio is the median
of the ratios round by round. Every served embedding is compared with that of this process. With
`--other` that bundle and the first are then exchanged under the load of all clients, and a damaged
one is offered. What clients do takes time of the same CPU; so the CPU time of a sample is there as
well, of this process, of the server and of its clients.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from composed import processor
from rich.console import Console
from rich.table import Table

from runtime import Bundle, Runtime
from runtime.serve import ChangedError, RemoteRuntime, ServeError
from runtime.serve.repository import ServeOptions, write_repository

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.runtime.serve.triton import Triton  # noqa: E402 (the root is on the path now)

SAMPLES = 56

OF_A_NODE = 8
"""Samples of a request: what a node embeds at once at most, unless it is told otherwise."""


def samples(bundle: Bundle) -> list[dict[str, Any]]:
    """Smooth pictures, as JPEG has them, in all states in turn."""
    size, chance = bundle.manifest.preprocessing, np.random.default_rng(0)
    found = []
    for i in range(SAMPLES):
        state = bundle.graph.states[i % len(bundle.graph.states)]
        coarse = {m: chance.integers(0, 256, (8, 4, 3), dtype=np.uint8) for m in state.available}
        whole = np.ones((size.height // 8, size.width // 4, 1), np.uint8)
        found.append({m: np.kron(x, whole) for m, x in coarse.items()})
    return found


class Load:
    """Clients in threads, each with a connection of its own."""

    def __init__(
        self, address: str, given: list[dict[str, Any]], clients: int, many: int = 1
    ) -> None:
        self._many = many
        self.latencies: list[float] = []
        self.answered = [0] * clients
        self.failures: list[str] = []
        self.changes = 0
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(address, given, i)) for i in range(clients)
        ]
        for thread in self._threads:
            thread.start()

    def _ask(self, address: str, given: list[dict[str, Any]], first: int) -> None:
        runtime = RemoteRuntime.connect(address)
        i = first
        while not self._stop.is_set():
            began = time.perf_counter()
            try:
                runtime.embed_batch([given[(i + j) % len(given)] for j in range(self._many)])
            except ChangedError:  # an answer, of the other bundle
                self.changes += 1
                runtime.close()
                runtime = RemoteRuntime.connect(address)
            except ServeError as error:
                self.failures.append(str(error))
            self.latencies.append(time.perf_counter() - began)
            self.answered[first] += 1
            i += self._many
        runtime.close()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def ask(address: str, bundle: Path, clients: int, seconds: float, many: int) -> None:
    """The work of the other process: one line of JSON."""
    given = samples(Bundle.open(bundle))
    load = Load(address, given, clients, many)
    while not min(load.answered) and not load.failures:  # connecting takes the server, too
        time.sleep(0.05)
    count, began, busy = len(load.latencies), time.perf_counter(), time.process_time()
    time.sleep(seconds)
    rate = many * (len(load.latencies) - count) / (time.perf_counter() - began)
    latencies = load.latencies[count:]
    work = 1e3 * (time.process_time() - busy) / (many * len(latencies))
    load.stop()
    p50, p99 = (1e3 * float(x) for x in np.quantile(latencies, [0.5, 0.99]))
    found = {"rate": rate, "p50": p50, "p99": p99, "client": work, "failures": load.failures}
    print(json.dumps(found))


def served(address: str, bundle: Path, clients: int, seconds: float, many: int) -> dict[str, Any]:
    command = [sys.executable, __file__, bundle, "--ask", address, "--many", str(many)]
    command += ["--clients", str(clients), "--seconds", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    assert not found["failures"], found["failures"][:3]
    return found


def in_process(
    runtime: Runtime, given: list[dict[str, Any]], batch: int, seconds: float
) -> tuple[float, float]:
    """Samples a second, and milliseconds of CPU time of each."""
    count, began, busy = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - began < seconds:
        runtime.embed_batch([given[(count + i) % len(given)] for i in range(batch)])
        count += batch
    took = time.perf_counter() - began
    return count / took, 1e3 * (time.process_time() - busy) / count


def exchange(triton: Triton, repository: Path, bundles: list[Path], clients: int) -> None:
    """Exchange bundles under load, and offer a damaged one."""
    load = Load(f"{triton.address}?timeout=60", samples(Bundle.open(bundles[0])), clients)
    time.sleep(2.0)
    took = []
    for bundle in (bundles[1], bundles[0], bundles[1]):
        write_repository(Bundle.open(bundle), repository, ServeOptions(), replace=True)
        began = time.perf_counter()
        status, said = triton.load()
        took.append(time.perf_counter() - began)
        assert status == 200, said
        time.sleep(2.0)
    damaged = next((repository / "denet").rglob("branch_*.onnx"))
    content = damaged.read_bytes()
    damaged.unlink()  # a link to that of the bundle
    damaged.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    status, said = triton.load()
    time.sleep(2.0)
    load.stop()
    print(
        f"exchanged 3 times in {', '.join(f'{t:.1f} s' for t in took)} under {clients} clients: "
        f"{len(load.latencies)} requests, {len(load.failures)} failed, "
        f"{load.changes} answered by the other bundle first"
    )
    print(f"a damaged one: {status} {said.splitlines()[0][:200]}")
    for failure in load.failures[:3]:
        print(failure)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--delay", type=float, default=ServeOptions.delay)
    parser.add_argument("--processes", type=int, default=ServeOptions.processes)
    parser.add_argument("--other", type=Path)
    parser.add_argument("--ask", help=argparse.SUPPRESS)
    parser.add_argument("--many", type=int, default=1, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ask:
        ask(given.ask, given.bundle, given.clients, given.seconds, given.many)
        return
    # Who ends this ends the server, whose processes would go on.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    bundle = Bundle.open(given.bundle)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        repository = folder / "repository"
        options = ServeOptions(batch=given.clients, delay=given.delay, processes=given.processes)
        write_repository(bundle, repository, options)
        with Triton(repository, folder) as triton:
            triton.wait()
            measure(triton, bundle, given)
            if given.other:
                exchange(triton, repository, [given.bundle, given.other], given.clients)


def measure(triton: Triton, bundle: Bundle, given: argparse.Namespace) -> None:
    pictures = samples(bundle)
    runtime = Runtime.load(bundle, preload=True, max_batch=given.clients)
    where = f"{triton.address}?timeout=60"  # on a machine that others keep busy
    with RemoteRuntime.connect(where) as remote:
        worst = abs(remote.embed_batch(pictures) - runtime.embed_batch(pictures)).max()
    ways = {
        "pixels, 1 client": (where, 1, 1),
        f"pixels, {given.clients} clients": (where, given.clients, 1),
        f"JPEG, {given.clients} clients": (f"{where}&jpeg=95", given.clients, 1),
        f"{given.clients} clients, {OF_A_NODE} at once": (where, given.clients, OF_A_NODE),
    }
    here: list[tuple[float, float]] = []
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    for _ in range(given.rounds):
        here.append(in_process(runtime, pictures, given.clients, given.seconds))
        for way, (address, clients, many) in ways.items():
            before, busy = triton.batches(), triton.busy()
            seen = served(address, given.bundle, clients, given.seconds, many)
            asked, batches = (b - a for a, b in zip(before, triton.batches(), strict=True))
            seen |= {"batch": asked / batches, "server": 1e3 * (triton.busy() - busy) / asked}
            found[way].append(seen)
    title = f"{processor()}; {given.rounds} rounds of {given.seconds:g} s"
    table = Table(title=f"{title}; load {os.getloadavg()[1]:.1f}")
    for column in ("", "samples/s", "ratio", "p50 ms", "p99 ms", "mean batch", "CPU ms a sample"):
        table.add_column(column)
    rate, work = (statistics.median(each) for each in zip(*here, strict=True))
    table.add_row("in process", f"{rate:.0f}", "1.00", "", "", str(given.clients), f"{work:.1f}")
    for way, rounds in found.items():
        ratio = statistics.median(
            seen["rate"] / one for seen, (one, _) in zip(rounds, here, strict=True)
        )
        middle = {
            name: statistics.median(seen[name] for seen in rounds)
            for name in rounds[0]
            if name != "failures"
        }
        table.add_row(
            way,
            f"{middle['rate']:.0f}",
            f"{ratio:.2f}",
            f"{middle['p50']:.1f}",
            f"{middle['p99']:.1f}",
            f"{middle['batch']:.1f}",
            f"{middle['server']:.1f} + {middle['client']:.1f}",
        )
    Console(width=120).print(table)
    print(f"largest difference of an embedding's number: {worst:.1e}")


if __name__ == "__main__":
    main()
