"""The backend on real PyCUDA and cuda-python: what it computes, and what it leaves behind."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from denet.graph import RGB_NIR_TIR, State
from runtime import Runtime
from runtime.backends.tensorrt.backend import TensorRTBackend
from tests.fake.libcuda.driver import HostDriver
from tests.runtime.backends.tensorrt.host.embeddings import NEAR, farthest
from tests.runtime.backends.tensorrt.machines import MIXED, Inputs, inputs, program_of

COMPLETE = RGB_NIR_TIR.complete
STATES = RGB_NIR_TIR.states

pytestmark = pytest.mark.cuda


def check(runtime: Runtime, reference: Runtime, samples: Inputs) -> None:
    assert farthest(runtime, reference, samples) <= NEAR


@pytest.mark.parametrize("states", [*([s] for s in STATES), [COMPLETE] * 3, MIXED], ids=str)
def test_queued_captured_and_replayed(
    clean: HostDriver, built: Path, runtime: Runtime, states: list[State]
) -> None:
    clean.delays(1, 300)
    with Runtime.load(built, "tensorrt", "fp32") as mine:
        for turn in range(4):
            check(mine, runtime, inputs(states, seed=turn))
        if len(states) == 1:
            assert program_of(mine.composer, states[0]).not_captured is None
            assert program_of(mine.composer, states[0]).captured


@pytest.mark.parametrize("captures", [True, False])
def test_random_mixed_batches(
    clean: HostDriver, built: Path, runtime: Runtime, captures: bool
) -> None:
    random = np.random.default_rng(7)
    launched = clean.calls().get("cuGraphLaunch", 0)
    with Runtime.load(built, "tensorrt", "fp32") as mine:
        assert isinstance(mine.composer.backend, TensorRTBackend)
        mine.composer.backend.device.captures = captures
        for seed in range(200):
            clean.delays(seed, 100)
            states = [STATES[i] for i in random.integers(0, 7, random.integers(1, 17))]
            samples = inputs(states, seed=seed)
            for _ in range(3 if seed % 4 == 0 else 1):  # queued, captured, replayed
                check(mine, runtime, samples)
    launched = clean.calls().get("cuGraphLaunch", 0) - launched
    assert launched > 30 if captures else launched == 0  # larger tables forget some graphs


def test_threads_take_turns(clean: HostDriver, built: Path, runtime: Runtime) -> None:
    """Each works in several states; what one lets go, another one frees."""
    failed: list[BaseException] = []
    clean.delays(2, 100)
    with Runtime.load(built, "tensorrt", "fp32") as mine:
        guard = threading.Lock()

        def work(seed: int) -> None:
            try:
                for turn in range(6):
                    with guard:
                        check(mine, runtime, inputs([STATES[(seed + turn) % 7]], seed=seed))
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failed == []


@pytest.mark.parametrize("context", ["own", "primary"])
def test_a_trace_tells_what_ran_beside_what(
    clean: HostDriver, built: Path, runtime: Runtime, context: str
) -> None:
    clean.delays(1, 1000)
    with Runtime.load(built, "tensorrt", "fp32", cuda_context=context) as mine:
        samples = inputs([COMPLETE])
        trace = mine.composer.trace([COMPLETE], lambda i, m, out: np.copyto(out, samples[i][m]))
        assert all(0 < span.start <= span.stop <= trace.seconds for span in trace.spans)
        branches = [span for span in trace.spans if span.name.startswith("branch")]
        assert len({span.lane for span in branches}) == 3
        check(mine, runtime, samples)
