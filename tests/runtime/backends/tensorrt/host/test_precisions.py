"""FP16 and INT8 on real PyCUDA: embeddings are those of the same files on the CPU, whatever the
types of their tensors are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from calibration import Outcome
from denet.graph import RGB_NIR_TIR, State
from export.tensorrt.build import build_engines
from export.tensorrt.reference import reference_runtime
from runtime import Bundle, Runtime
from runtime.backends.tensorrt.machine import BuildOptions
from runtime.bundle.forms import Precision
from tests.conftest import copied
from tests.fake.libcuda.driver import HostDriver
from tests.runtime.backends.tensorrt.host.embeddings import NEAR, farthest
from tests.runtime.backends.tensorrt.machines import MIXED, inputs, program_of

STATES = RGB_NIR_TIR.states

pytestmark = pytest.mark.cuda


@dataclass(frozen=True)
class Reduced:
    """A bundle with engines of a precision, and the same ONNX files on the CPU."""

    root: Path
    precision: Precision
    reference: Runtime


@pytest.fixture(scope="module", params=["fp16", "int8"])
def reduced(
    request: pytest.FixtureRequest,
    loaded: HostDriver,
    outcome: Outcome,
    tmp_path_factory: pytest.TempPathFactory,
) -> Reduced:
    precision: Precision = request.param
    root = copied(outcome.bundle.root, tmp_path_factory.mktemp(precision))
    bundle = Bundle.open(root)
    made = build_engines(bundle, precision, BuildOptions())
    assert made.unchecked is None
    reference = reference_runtime(bundle, precision, max_batch=16)
    return Reduced(root, precision, reference)


def test_all_states_queued_captured_and_replayed(clean: HostDriver, reduced: Reduced) -> None:
    clean.delays(3, 200)
    reference = reduced.reference
    with Runtime.load(reduced.root, "tensorrt", reduced.precision, check=True) as mine:
        assert mine.variant == reference.variant
        assert dict(mine.forms) == dict(reference.forms)
        cases: list[list[State]] = [*([state] for state in STATES), MIXED]
        for states in cases:
            for turn in range(3):
                samples = inputs(states, seed=turn)
                assert farthest(mine, reference, samples) <= NEAR
            if len(states) == 1:
                assert program_of(mine.composer, states[0]).captured


def test_random_mixed_batches(clean: HostDriver, reduced: Reduced) -> None:
    random, reference = np.random.default_rng(11), reduced.reference
    with Runtime.load(reduced.root, "tensorrt", reduced.precision) as mine:
        for seed in range(40):
            clean.delays(seed, 100)
            states = [STATES[i] for i in random.integers(0, 7, random.integers(1, 17))]
            samples = inputs(states, seed=seed)
            for _ in range(3 if seed % 4 == 0 else 1):  # queued, captured, replayed
                assert farthest(mine, reference, samples) <= NEAR
