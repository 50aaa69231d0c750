"""What a fresh process does to be measured: it loads a bundle, embeds, and tells what that took.

`runtime.benchmark.start` starts it. It is an ordinary user of the runtime.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

import msgspec
import numpy as np

from denet.errors import DenetError
from runtime.runtime import Runtime


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the process is to do.

    Attributes:
        bundle: its path.
        backend: by name.
        precision: by name.
        threads: CPU threads.
        states: to prepare, and then to embed one batch in each of.
        batch: samples in a batch.
    """

    bundle: str
    backend: str
    precision: str
    threads: int | None
    states: tuple[str, ...]
    batch: int


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What it took, in seconds and bytes; None for what this system does not tell."""

    imports: float
    load: float
    embed: float
    host_bytes: int | None
    device_bytes: int | None


def main(imports: float) -> None:
    """Do what the first argument asks, and print what it took; else print why not, and exit.

    Args:
        imports: the seconds that `import runtime` took.
    """
    asked = msgspec.json.decode(sys.argv[1], type=Asked)
    try:
        print(msgspec.json.encode(start(asked, imports)).decode())
    except DenetError as error:
        sys.exit(str(error))


def start(asked: Asked, imports: float) -> Told:
    """Load and embed as asked."""
    began = time.perf_counter()
    runtime = Runtime.load(
        asked.bundle, asked.backend, asked.precision, threads=asked.threads, max_batch=asked.batch
    )
    states = [runtime.graph.parse(name) for name in asked.states]
    runtime.prepare(states)
    loaded = time.perf_counter()
    size = runtime.bundle.manifest.preprocessing
    image = np.zeros((size.height, size.width, 3), np.uint8)
    seconds = []
    for state in states:
        start = time.perf_counter()
        runtime.embed_batch([dict.fromkeys(state.available, image)] * asked.batch)
        seconds.append(time.perf_counter() - start)
    return Told(
        imports=imports,
        load=loaded - began,
        embed=seconds[0],
        host_bytes=peak_memory(),
        device_bytes=runtime.composer.backend.device_memory(),
    )


def peak_memory() -> int | None:
    """The most memory that this process had at once, in bytes.

    From /proc, since what `getrusage` tells on Linux can be that of the process that started this
    one.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None
