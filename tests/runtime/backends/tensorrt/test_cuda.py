"""`runtime.backends.tensorrt.cuda` on a played PyCUDA, TensorRT and cuda-python.

That it calls them as they are to be called: their memory is the host's, and they do at once what
they are told.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from denet.graph import RGB_NIR_TIR
from runtime import BackendError, Runtime
from runtime.backends.tensorrt import cuda as subject
from runtime.backends.tensorrt.backend import TensorRTBackend
from runtime.backends.tensorrt.cuda import CudaDevice
from runtime.backends.tensorrt.device import DeviceError
from runtime.backends.tensorrt.files import find_engines
from runtime.composer import Composer
from tests.recording import Engine, RecordingDevice, Stream, at
from tests.runtime.backends.tensorrt.test_backend import (
    HERE,
    MIXED,
    Machine,
    inputs,
    machine,
    root,
    same,
)

COMPLETE = RGB_NIR_TIR.complete
ENGINES = RGB_NIR_TIR.engines
STATES = RGB_NIR_TIR.states

__all__ = ["machine", "root"]


class CudaError(Exception):
    pass


class CudaMemoryError(CudaError):
    pass


class PlayedCuda:
    """`pycuda.driver`, with a stack of contexts."""

    Error = CudaError
    MemoryError = CudaMemoryError
    ctx_flags = SimpleNamespace(SCHED_BLOCKING_SYNC=4)
    event_flags = SimpleNamespace(DEFAULT=0, DISABLE_TIMING=2)

    def __init__(self) -> None:
        self.stack: list[PlayedContext] = []
        self.made: list[PlayedContext] = []
        self.fails: dict[str, Exception] = {}
        outer = self

        class Context(PlayedContext):
            def __init__(self, name: str) -> None:
                super().__init__(outer, name)

            @staticmethod
            def pop() -> None:
                outer.stack.pop()

            @staticmethod
            def synchronize() -> None:
                outer.current()
                outer.may_fail("synchronize")

        class Device:
            def __init__(self, number: int) -> None:
                assert number == 0

            def make_context(self, flags: int) -> Context:
                assert flags == 4
                outer.may_fail("make_context")
                context = Context("own")
                context.push()
                return context

            def retain_primary_context(self) -> Context:
                return Context("primary")

        self.Context, self.Device = Context, Device

    def may_fail(self, what: str) -> None:
        if what in self.fails:
            raise self.fails[what]

    def current(self) -> PlayedContext:
        if not self.stack:
            raise CudaError("no currently active context?")
        return self.stack[-1]

    def init(self) -> None:
        self.may_fail("init")

    def mem_alloc(self, size: int) -> Any:
        self.current()
        self.may_fail("mem_alloc")
        return DeviceAllocation(size)

    def pagelocked_empty(self, shape: int, dtype: Any) -> Any:
        self.current()
        return np.empty(shape, dtype)

    def mem_get_info(self) -> tuple[int, int]:
        self.current()
        return 300, 1000

    def Stream(self, flags: int) -> PlayedStream:  # noqa: N802
        self.current()
        assert flags == 1
        return PlayedStream()

    def Event(self, flags: int) -> PlayedEvent:  # noqa: N802
        self.current()
        return PlayedEvent(flags)

    def memcpy_htod_async(self, target: int, source: Any, stream: PlayedStream) -> None:
        stream.do(lambda: np.copyto(at(target, source.nbytes), source.reshape(-1).view(np.uint8)))

    def memcpy_dtoh_async(self, target: Any, source: int, stream: PlayedStream) -> None:
        stream.do(lambda: np.copyto(target.reshape(-1).view(np.uint8), at(source, target.nbytes)))

    def memcpy_dtod_async(self, target: int, source: int, size: int, stream: PlayedStream) -> None:
        stream.do(lambda: np.copyto(at(target, size), at(source, size)))


class PlayedContext:
    def __init__(self, cuda: PlayedCuda, name: str) -> None:
        self.cuda, self.name, self.detached = cuda, name, False
        cuda.made.append(self)

    def push(self) -> None:
        self.cuda.may_fail("push")
        self.cuda.stack.append(self)

    def detach(self) -> None:
        self.detached = True


class DeviceAllocation:
    def __init__(self, size: int) -> None:
        self.array = np.full(size, 0xFF, np.uint8)

    def __int__(self) -> int:
        return int(self.array.ctypes.data)


class PlayedEvent:
    def __init__(self, flags: int) -> None:
        self.flags = flags
        self.at = 0.0

    def record(self, stream: PlayedStream) -> None:
        PlayedStream.clock += 1.0
        self.at = PlayedStream.clock

    def time_since(self, other: PlayedEvent) -> float:
        assert self.flags == other.flags == 0
        return self.at - other.at


class PlayedStream:
    clock = 0.0
    by_handle: dict[int, PlayedStream] = {}  # noqa: RUF012

    def __init__(self) -> None:
        self.handle = len(self.by_handle) + 1
        self.by_handle[self.handle] = self

    captured: list[Any] | None = None
    """Of all streams, as there is one origin at a time."""

    def do(self, act: Any) -> None:
        if PlayedStream.captured is not None:
            PlayedStream.captured.append(act)
        else:
            act()

    def wait_for_event(self, event: PlayedEvent) -> None:
        assert event.at

    def synchronize(self) -> None:
        assert PlayedStream.captured is None


class PlayedGraphs(SimpleNamespace):
    """`cuda.bindings.driver`: an error code first, then the results."""

    def __init__(self) -> None:
        super().__init__(CUstreamCaptureMode=SimpleNamespace(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL=1))
        self.fails: str | None = None
        self.destroyed: list[str] = []
        self.launched = 0

    def _code(self, name: str) -> int:
        return 901 if self.fails == name else 0

    def cuStreamBeginCapture(self, stream: int, mode: int) -> tuple[int]:  # noqa: N802
        assert stream in PlayedStream.by_handle
        PlayedStream.captured = []
        return (self._code("cuStreamBeginCapture"),)

    def cuStreamEndCapture(self, stream: int) -> tuple[int, Any]:  # noqa: N802
        captured, PlayedStream.captured = PlayedStream.captured, None
        return self._code("cuStreamEndCapture"), captured

    def cuGraphInstantiate(self, graph: Any, flags: int) -> tuple[int, Any]:  # noqa: N802
        return self._code("cuGraphInstantiate"), list(graph)

    def cuGraphDestroy(self, graph: Any) -> tuple[int]:  # noqa: N802
        self.destroyed.append("graph")
        return (0,)

    def cuGraphExecDestroy(self, graph: Any) -> tuple[int]:  # noqa: N802
        self.destroyed.append("exec")
        return (0,)

    def cuGraphLaunch(self, graph: Any, stream: int) -> tuple[int]:  # noqa: N802
        if code := self._code("cuGraphLaunch"):
            return (code,)
        self.launched += 1
        for act in graph:
            act()
        return (0,)

    def cuGetErrorString(self, code: int) -> tuple[int, bytes]:  # noqa: N802
        return 0, b"operation failed due to a previous error"


class PlayedTensorRT(SimpleNamespace):
    """As much of `tensorrt` as runs engines; the engines are those of the recording device."""

    __version__ = "10.3.0"
    TensorIOMode = SimpleNamespace(INPUT=1, OUTPUT=2)
    ExecutionContextAllocationStrategy = SimpleNamespace(USER_MANAGED=2)

    class ILogger:
        INTERNAL_ERROR, ERROR, WARNING = 0, 1, 2

    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self.loads = RecordingDevice(machine._onnx)
        self.loads.inside = 1
        self.refuse: str | None = None
        self.allowed: list[bool] = []
        outer = self

        class Runtime:
            engine_host_code_allowed = False

            def __init__(self, logger: Any) -> None:
                self.logger = logger

            def deserialize_cuda_engine(self, content: bytes) -> Any:
                outer.allowed.append(self.engine_host_code_allowed)
                if outer.refuse == "load":
                    self.logger.log(1, "Serialization assertion failed \n")
                    return None
                name = content.decode().split()[0]
                loaded = outer.loads.load(content, name, host_code=False)
                assert isinstance(loaded, Engine)
                return PlayedEngine(outer, loaded, self.logger)

        self.Runtime = Runtime

    @staticmethod
    def nptype(dtype: str) -> type[Any]:
        return {"FLOAT": np.float32}[dtype]


class PlayedEngine:
    def __init__(self, trt: PlayedTensorRT, engine: Engine, logger: Any) -> None:
        self.trt, self.engine, self.logger = trt, engine, logger
        self.names = list(engine.tensors)
        self.num_io_tensors = len(self.names)
        self.device_memory_size_v2 = engine.scratch

    def get_tensor_name(self, index: int) -> str:
        return self.names[index]

    def get_tensor_mode(self, name: str) -> int:
        return 1 if self.engine.tensors[name].is_input else 2

    def get_tensor_dtype(self, name: str) -> str:
        return "FLOAT"

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.engine.tensors[name].shape

    def create_execution_context(self, strategy: int) -> Any:
        assert strategy == 2
        return None if self.trt.refuse == "context" else PlayedExecution(self)


class PlayedExecution:
    def __init__(self, engine: PlayedEngine) -> None:
        self.of = engine
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}
        self.memory: tuple[int, int] | None = None

    def set_device_memory(self, address: int, size: int) -> None:
        self.memory = address, size

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = shape
        return self._may("shape")

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return self._may("address")

    def _may(self, what: str) -> bool:
        if self.of.trt.refuse == what:
            self.of.logger.log(1, "no such thing")
            self.of.logger.log(2, "a warning")
            return False
        return True

    def execute_async_v3(self, handle: int) -> bool:
        assert self.memory is not None
        assert self.memory[1] == self.of.engine.scratch
        stream = Stream()
        context = self.of.engine.context()
        context.configure(self.shapes, self.addresses, self.memory[0])
        context.enqueue(stream)  # type: ignore[arg-type]
        PlayedStream.by_handle[handle].do(stream.queue[-1].act)
        return self._may("execute")


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
    yield cuda, trt, graphs
    PlayedStream.captured = None


Played = tuple[PlayedCuda, PlayedTensorRT, PlayedGraphs]


def composer_on(machine: Machine, context: Any = "own") -> Composer:
    bundle = machine.bundle
    found = find_engines(bundle, HERE, dict.fromkeys(ENGINES, "fp32"))
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
    assert cuda.made[1].detached  # only lets go of it: the driver counts who retains it


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


def test_what_is_missing_is_named(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = played[0]
    cuda.fails["init"] = CudaError("cuInit failed: no CUDA-capable device is detected")
    with pytest.raises(BackendError, match="no CUDA-capable device"):
        CudaDevice()
    cuda.fails = {"make_context": CudaError("exclusive process")}
    with pytest.raises(BackendError, match="cannot open the device: exclusive process"):
        CudaDevice()
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
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
