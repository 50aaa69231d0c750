"""PyCUDA, cuda-python and TensorRT as they would be, played on a recording device."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.runtime.backends.tensorrt.machines import Machine
from tests.runtime.backends.tensorrt.queued import Stream
from tests.runtime.backends.tensorrt.recording import Engine, RecordingDevice, at


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
        self.driver = PlayedDriver()
        outer = self

        class Context(PlayedContext):
            def __init__(self, name: str) -> None:
                super().__init__(outer, name)

            @staticmethod
            def pop() -> None:
                outer.stack.pop()

            @staticmethod
            def get_current() -> PlayedContext | None:
                return outer.stack[-1] if outer.stack else None

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
        if self.name == "own" and self.cuda.stack[-1:] == [self]:
            self.cuda.stack.pop()
        self.detached = True


class PlayedDriver:
    """Of the driver's own library what lets go of a primary context."""

    def __init__(self) -> None:
        self.released = 0

    def cuDeviceGet(self, device: Any, ordinal: int) -> int:  # noqa: N802
        return ordinal

    def cuDevicePrimaryCtxRelease_v2(self, device: Any) -> int:  # noqa: N802
        self.released += 1
        return 0


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
    LayerInformationFormat = SimpleNamespace(ONELINE=0, JSON=1)

    class IProfiler:
        def report_layer_time(self, layer_name: str, ms: float) -> None: ...

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

    def create_engine_inspector(self) -> Any:
        def information(form: int) -> str:
            assert form == 1
            return self.engine.inspect()

        return SimpleNamespace(get_engine_information=information)

    def create_execution_context(self, strategy: int) -> Any:
        assert strategy == 2
        return None if self.trt.refuse == "context" else PlayedExecution(self)


class PlayedExecution:
    def __init__(self, engine: PlayedEngine) -> None:
        self.of = engine
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}
        self.memory: tuple[int, int] | None = None
        self.profiler: Any = None

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
        if self.profiler is not None:
            assert isinstance(self.profiler, self.of.trt.IProfiler)
            self.profiler.report_layer_time(f"{self.of.engine.name} conv", 1.5)
        return self._may("execute")
