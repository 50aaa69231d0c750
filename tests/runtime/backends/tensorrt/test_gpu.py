"""On a real GPU: that what was decided without one comes out right there."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from denet.graph import RGB_NIR_TIR
from export.tensorrt.build import build_engines
from runtime import BackendError, Bundle, Runtime
from runtime.backends.choose import nvidia_gpu_present
from runtime.backends.tensorrt.backend import TensorRTBackend
from runtime.backends.tensorrt.machine import BuildOptions
from runtime.bundle.forms import Precision
from tests.conftest import copied
from tests.runtime.backends.tensorrt.machines import MIXED, inputs, program_of

COMPLETE = RGB_NIR_TIR.complete
STATES = RGB_NIR_TIR.states

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not nvidia_gpu_present(), reason="there is no NVIDIA GPU"),
]

LEAST = {"fp32": 0.9999, "fp16": 0.999, "int8": 0.9}
"""The least cosine of an embedding to FP32 on the CPU."""


@pytest.fixture(scope="module")
def root(outcome: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with all precisions, and engines of each for this machine."""
    pytest.importorskip("tensorrt")
    pytest.importorskip("pycuda.driver")
    root = copied(outcome.bundle.root, tmp_path_factory.mktemp("gpu"))
    for precision in LEAST:
        made = build_engines(Bundle.open(root), precision, BuildOptions())
        assert made.unchecked is None
    return root


def least_cosine(found: Any, expected: Any) -> float:
    norms = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    return float(np.min(np.sum(found * expected, axis=1) / norms))


def embed(runtime: Runtime, samples: Any) -> Any:
    return runtime.head(runtime.composer.run_tensors(samples))


def check(runtime: Runtime, reference: Runtime, precision: str) -> None:
    for states in (*([s] * 2 for s in STATES), MIXED):
        for turn in range(3):
            samples = inputs(states, seed=turn)
            cosine = least_cosine(embed(runtime, samples), embed(reference, samples))
            assert cosine >= LEAST[precision], (states, turn)


@pytest.fixture(scope="module")
def reference(outcome: Any) -> Runtime:
    return Runtime.load(outcome.bundle, "ort-cpu", "fp32")


@pytest.mark.parametrize("precision", LEAST)
def test_tensorrt_agrees_with_the_cpu(root: Path, reference: Runtime, precision: Precision) -> None:
    with Runtime.load(root, "tensorrt", precision) as runtime:
        check(runtime, reference, precision)


@pytest.mark.parametrize("backend", ["ort-cuda", "ort-trt"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_onnx_runtime_agrees_with_the_cpu(
    outcome: Any, reference: Runtime, backend: str, precision: str
) -> None:
    try:
        runtime = Runtime.load(outcome.bundle, backend, precision, preload=True)
    except BackendError as error:
        pytest.skip(str(error))
    with runtime:
        check(runtime, reference, precision)


def test_auto_takes_the_engines_that_were_built(root: Path) -> None:
    with Runtime.load(root, precision="fp16", check=True) as runtime:
        assert runtime.backend == "tensorrt"


def test_programs_are_captured_where_cuda_python_is(root: Path) -> None:
    pytest.importorskip("cuda.bindings.driver")
    with Runtime.load(root, "tensorrt", "fp32") as runtime:
        for _ in range(2):
            runtime.composer.run_tensors(inputs([COMPLETE]))
        program = program_of(runtime.composer, COMPLETE)
        assert program.captured, program.not_captured


def test_it_runs_in_any_thread(root: Path, reference: Runtime) -> None:
    samples = inputs(MIXED)
    expected = embed(reference, samples)
    with Runtime.load(root, "tensorrt", "fp32") as runtime:
        found: list[float] = []

        def run() -> None:
            found.append(least_cosine(embed(runtime, samples), expected))

        for _ in range(3):
            thread = threading.Thread(target=run)
            thread.start()
            thread.join()
        assert min(found) >= LEAST["fp32"]


def test_it_runs_in_the_primary_context_beside_pytorch(root: Path, reference: Runtime) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch cannot use the GPU")
    kept = torch.arange(1000, device="cuda")
    with Runtime.load(root, "tensorrt", "fp32", cuda_context="primary") as runtime:
        check(runtime, reference, "fp32")
    assert int(kept.sum()) == 499500


def test_running_out_of_memory_is_an_error_that_passes(root: Path, reference: Runtime) -> None:
    with Runtime.load(root, "tensorrt", "fp32") as runtime:
        with pytest.raises(BackendError, match="out of device memory"):
            runtime.composer.backend.allocate((1 << 40,))
        samples = inputs([RGB_NIR_TIR.parse("nir")])
        assert least_cosine(embed(runtime, samples), embed(reference, samples)) > 0.999


def test_closing_gives_the_memory_back(root: Path) -> None:
    with Runtime.load(root, "tensorrt", "fp32") as first:
        assert isinstance(first.composer.backend, TensorRTBackend)
        before = first.composer.backend.device_memory()
        for _ in range(3):
            with Runtime.load(root, "tensorrt", "fp32", preload=True) as runtime:
                runtime.composer.run_tensors(inputs(MIXED))
        after = first.composer.backend.device_memory()
        assert before is not None
        assert after is not None
        assert after - before < 100e6
