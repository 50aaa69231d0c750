"""The real device, on libraries that are played."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from denet.graph import RGB_NIR_TIR
from runtime import BackendError, Runtime
from runtime.backends.base import LayerRun
from runtime.backends.tensorrt import context
from runtime.backends.tensorrt import cuda as subject
from runtime.backends.tensorrt.backend import TensorRTBackend
from runtime.backends.tensorrt.cuda import CudaDevice
from runtime.backends.tensorrt.device import DeviceError
from runtime.composer import Composer
from tests.runtime.backends.tensorrt.cuda import (
    CudaError,
    CudaMemoryError,
    PlayedCuda,
    PlayedGraphs,
    PlayedStream,
    PlayedTensorRT,
)
from tests.runtime.backends.tensorrt.machines import HERE, MIXED, Machine, find_own, inputs, same

COMPLETE = RGB_NIR_TIR.complete
ENGINES = RGB_NIR_TIR.engines
STATES = RGB_NIR_TIR.states


@pytest.fixture
def played(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[PlayedCuda, PlayedTensorRT, PlayedGraphs]]:
    cuda, graphs, trt = PlayedCuda(), PlayedGraphs(), PlayedTensorRT(machine)
    package = ModuleType("pycuda")
    package.driver = cuda  # type: ignore[attr-defined]
    bindings = ModuleType("cuda.bindings")
    bindings.driver = graphs  # type: ignore[attr-defined]
    for name, module in {
        "pycuda": package,
        "pycuda.driver": cuda,
        "cuda.bindings": bindings,
        "cuda.bindings.driver": graphs,
    }.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(subject, "load_tensorrt", lambda: trt)
    monkeypatch.setattr(context, "open_driver", lambda: cuda.driver)
    yield cuda, trt, graphs
    PlayedStream.captured = None


Played = tuple[PlayedCuda, PlayedTensorRT, PlayedGraphs]


def composer_on(machine: Machine, context: Any = "own") -> Composer:
    bundle = machine.bundle
    found = find_own(bundle, HERE, dict.fromkeys(ENGINES, "fp32"))
    backend = TensorRTBackend(found.engines, bundle.manifest.engines, lambda: CudaDevice(context))
    return Composer(backend, bundle.manifest)


def test_all_states_queued_captured_and_replayed(
    machine: Machine, played: Played, runtime: Runtime
) -> None:
    cuda, trt, graphs = played
    composer = composer_on(machine)
    for states in (*([s] for s in STATES), MIXED):
        for turn in range(3):
            samples = inputs(states, seed=turn)
            same(composer.run_tensors(samples), runtime, samples)
    assert graphs.launched == len(STATES) + 1
    assert composer.backend.device_memory() == 700
    assert trt.allowed == [False] * 15
    composer.close()
    assert cuda.stack == []
    assert graphs.destroyed.count("exec") == graphs.destroyed.count("graph") > 0
    assert cuda.made[0].detached


def test_a_trace_is_timed_by_events(machine: Machine, played: Played) -> None:
    composer = composer_on(machine)
    samples = inputs([COMPLETE])
    trace = composer.trace([COMPLETE], lambda i, m, out: np.copyto(out, samples[i][m]))
    assert all(0 < span.start < span.stop for span in trace.spans)


def test_layers_are_told_by_a_profiler_and_known_by_the_inspector(
    machine: Machine, played: Played, runtime: Runtime
) -> None:
    composer = composer_on(machine)
    composer.backend.observe_layers()
    samples = inputs([COMPLETE])
    for _ in range(2):
        trace = composer.trace([COMPLETE], lambda i, m, out: np.copyto(out, samples[i][m]))
    layers = composer.backend.observed_layers()
    assert layers.keys() == {span.name for span in trace.spans if span.kind == "engine"}
    for engine, runs in layers.items():
        assert runs == [(LayerRun(f"{engine} conv", "Convolution", 0.0, 0.0015),)] * 2
    composer.close()


def test_an_applications_context_is_used_and_left_to_it(machine: Machine, played: Played) -> None:
    cuda, _, _ = played
    own = cuda.Context("the application's")
    composer = composer_on(machine, own)
    composer.run_tensors(inputs([COMPLETE]))
    composer.close()
    assert [context.name for context in cuda.made] == ["the application's"]
    assert not own.detached
    composer = composer_on(machine, "primary")
    composer.run_tensors(inputs([COMPLETE]))
    composer.close()
    assert [context.name for context in cuda.made] == ["the application's", "primary"]
    assert cuda.made[1].detached
    assert cuda.driver.released == 1  # the driver counts who retains it


@pytest.mark.parametrize("function", ["cuStreamEndCapture", "cuGraphInstantiate"])
def test_a_failing_capture_leaves_it_queued(
    machine: Machine, played: Played, runtime: Runtime, function: str
) -> None:
    played[2].fails = function
    composer = composer_on(machine)
    for turn in range(3):
        samples = inputs([COMPLETE], seed=turn)
        same(composer.run_tensors(samples), runtime, samples)
    assert played[2].launched == 0


def test_a_failing_launch_is_an_error(machine: Machine, played: Played) -> None:
    composer = composer_on(machine)
    for _ in range(2):
        composer.run_tensors(inputs([COMPLETE]))
    played[2].fails = "cuGraphLaunch"
    with pytest.raises(DeviceError, match="cuGraphLaunch: operation failed"):
        composer.run_tensors(inputs([COMPLETE]))


def test_without_cuda_python_nothing_is_captured(
    machine: Machine, played: Played, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("cuda", "cuda.bindings", "cuda.bindings.driver"):
        monkeypatch.setitem(sys.modules, name, None)
    composer = composer_on(machine)
    for turn in range(3):
        samples = inputs([COMPLETE], seed=turn)
        same(composer.run_tensors(samples), runtime, samples)
    assert played[2].launched == 0


@pytest.mark.parametrize(
    ("refuse", "words"),
    [
        ("load", "cannot load the engine branch_rgb: Serialization assertion failed$"),
        ("context", "cannot make a context of branch_rgb: TensorRT gave no reason"),
        ("shape", "branch_rgb cannot shape image: no such thing"),
        ("address", "branch_rgb cannot place image: no such thing"),
        ("execute", "branch_rgb cannot be queued: no such thing"),
    ],
)
def test_what_tensorrt_refuses_is_told_with_its_reason(
    machine: Machine, played: Played, refuse: str, words: str
) -> None:
    composer = composer_on(machine)
    played[1].refuse = refuse
    with pytest.raises(DeviceError, match=words):
        composer.run_tensors(inputs([COMPLETE]))
    assert played[0].stack == []


def test_errors_of_cuda_are_told(machine: Machine, played: Played) -> None:
    cuda = played[0]
    composer = composer_on(machine)
    cuda.fails["mem_alloc"] = CudaMemoryError("cuMemAlloc failed: out of memory")
    with pytest.raises(DeviceError, match="out of device memory: cuMemAlloc"):
        composer.run_tensors(inputs([COMPLETE]))
    cuda.fails = {"mem_alloc": CudaError("an illegal memory access"), "synchronize": CudaError("!")}
    with pytest.raises(BackendError, match=r"cannot run: an illegal memory access.*set up again"):
        composer.run_tensors(inputs([COMPLETE]))
    assert len(cuda.made) == 2
    assert cuda.stack == []
    cuda.fails = {"push": CudaError("context is destroyed")}
    composer.close()


class WithoutPyCuda:
    """Finds for Python's import that PyCUDA is not installed, whether it is or not."""

    def find_spec(self, name: str, *_: object) -> None:
        if name == "pycuda":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_what_is_missing_is_named(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = played[0]
    cuda.fails["init"] = CudaError("cuInit failed: no CUDA-capable device is detected")
    with pytest.raises(BackendError, match="no CUDA-capable device"):
        CudaDevice()
    cuda.fails = {"make_context": CudaError("exclusive process")}
    with pytest.raises(BackendError, match="cannot open the device: exclusive process"):
        CudaDevice()
    for name in ("pycuda.driver", "pycuda"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [WithoutPyCuda(), *sys.meta_path])
    with pytest.raises(BackendError, match="PyCUDA is not installed: pip install pycuda"):
        CudaDevice()


def test_a_broken_pycuda_is_told(
    played: Played, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "pycuda").mkdir()
    (tmp_path / "pycuda" / "__init__.py").touch()
    (tmp_path / "pycuda" / "driver.py").write_text(
        "raise ImportError('libcuda.so.1: no such file')"
    )
    for name in ("pycuda", "pycuda.driver"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BackendError, match=r"PyCUDA cannot be loaded: libcuda.so.1"):
        CudaDevice()


def test_the_functions_of_cuda_python_exist() -> None:
    driver = pytest.importorskip("cuda.bindings.driver")
    for name in [name for name in vars(PlayedGraphs) if name.startswith("cu")]:
        assert callable(getattr(driver, name))
    assert int(driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL) == 1
    assert int(driver.CUresult.CUDA_SUCCESS) == 0
    assert ctypes.sizeof(ctypes.c_void_p) == 8
