"""Many seeds of delays, one after the other: whether any of them makes the backend wrong.

    PYTHONPATH=.:.cuda/site python -m tests.runtime.backends.tensorrt.host.seeds BUNDLE FIRST LAST

with a bundle whose engines were built by the played `tensorrt` (LD_LIBRARY_PATH=.cuda/lib
PYTHONPATH=.:tests/fake denet build BUNDLE --precision fp32). Prints what each thousand found. With
AddressSanitizer: `python tests/fake/libcuda/build.py FOLDER --sanitize`, and this with
HOST_CUDA_LIBRARY=FOLDER/libcuda.so.1 LD_PRELOAD="libasan.so.8 libstdc++.so.6"; what Python leaks
at its end is told, too: no line of it may name libcuda.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from denet.graph import RGB_NIR_TIR
from runtime import BackendError, Runtime
from runtime.backends.tensorrt.backend import TensorRTBackend
from tests.fake.libcuda.driver import HostDriver
from tests.runtime.backends.tensorrt.host.embeddings import NEAR, farthest
from tests.runtime.backends.tensorrt.machines import Inputs, inputs

STATES = RGB_NIR_TIR.states

DELAYS = (50, 200, 1000)
"""Microseconds, in turn: many works that are a little late, and few that are very late."""


def differs(mine: Runtime, reference: Runtime, samples: Inputs) -> bool:
    """Whether one batch's embeddings are not those of the CPU backend."""
    try:
        return not farthest(mine, reference, samples) <= NEAR
    except BackendError:  # they are no numbers, or an engine ran twice at once
        return True


def run_seeds(
    driver: HostDriver, root: Path, reference: Runtime, seeds: Iterable[int]
) -> list[str]:
    """What went wrong, by seed. Each has a mix of one to three samples, queued, captured or
    replayed as it comes; the CPU's embeddings are computed once for each mix."""
    random = np.random.default_rng(5)
    mixes = [
        inputs([STATES[i] for i in random.integers(0, 7, 1 + turn % 3)], seed=turn)
        for turn in range(24)
    ]
    expected = [reference.head(reference.composer.run_tensors(samples)) for samples in mixes]
    wrong = []
    with Runtime.load(root, "tensorrt", "fp32") as mine:
        backend = mine.composer.backend
        assert isinstance(backend, TensorRTBackend)
        for seed in seeds:
            driver.delays(seed, DELAYS[seed % len(DELAYS)])
            backend.device.captures = seed % 4 > 0  # a quarter is queued
            number = seed % len(mixes)
            found = mine.head(mine.composer.run_tensors(mixes[number]))
            if not np.abs(found - expected[number]).max() <= NEAR:
                wrong.append(f"seed {seed}: other embeddings")
            wrong += [f"seed {seed}: {text}" for text in driver.violations()]
    return wrong


def main() -> int:
    from tests.paths import FAKE
    from tests.runtime.backends.tensorrt.host.start import find_library

    root, first, last = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    driver = HostDriver(find_library(root.parent))
    sys.path.insert(0, str(FAKE))
    reference = Runtime.load(root, "ort-cpu", "fp32")
    failed = 0
    for start in range(first, last, 1000):
        seeds = range(start, min(start + 1000, last))
        wrong = run_seeds(driver, root, reference, seeds)
        failed += len(wrong)
        print(
            f"seeds {seeds.start} to {seeds.stop - 1}: {len(wrong)} wrong", *wrong[:3], flush=True
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
