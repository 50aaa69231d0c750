"""The TensorRT backend's device: PyCUDA for memory, streams and events, TensorRT for engines, and
cuda-python for graphs. This is all of the backend that needs a GPU; it decides nothing.

PyCUDA frees what its objects stand for only in a thread where their context is current, so a
context is pushed for each piece of work and popped after it, and never left current.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from denet.packages import absent
from runtime.backends.base import BackendError
from runtime.backends.tensorrt.device import (
    Addresses,
    CaptureError,
    Device,
    DeviceContext,
    DeviceEngine,
    DeviceError,
    Handle,
    Shapes,
    TellLayer,
    Tensor,
)
from runtime.backends.tensorrt.machine import load_tensorrt

CudaContext = Literal["own", "primary"] | Any
"""A context of the backend's own; the device's primary one, which PyTorch, CuPy, ONNX Runtime and
the CUDA runtime use; or a `pycuda.driver.Context` that the application has made."""

NON_BLOCKING = 1
"""`CU_STREAM_NON_BLOCKING`: does not wait for what an application does on the default stream."""

INSTALL = (
    "pip install pycuda compiles it and needs the headers of the CUDA toolkit (nvcc on the PATH, "
    "or CPATH=/usr/local/cuda/include)"
)


def load_pycuda() -> Any:
    """The module `pycuda.driver`, initialized.

    Raises:
        BackendError: it is not installed, or there is no driver.
    """
    try:
        import pycuda.driver as cuda
    except (ImportError, OSError) as error:
        if absent(error, "pycuda"):
            raise BackendError(f"tensorrt: PyCUDA is not installed: {INSTALL}") from None
        raise BackendError(f"tensorrt: PyCUDA cannot be loaded: {error}") from None
    try:
        cuda.init()
    except cuda.Error as error:
        raise BackendError(f"tensorrt: no CUDA device can be used: {error}") from None
    return cuda


class CudaDevice(Device):
    """CUDA device 0.

    Raises:
        BackendError: it cannot be used; says what is missing.
    """

    def __init__(self, context: CudaContext = "own") -> None:
        self._trt = load_tensorrt()
        self._cuda = load_pycuda()
        self._graphs = _load_graphs()
        self.captures = self._graphs is not None
        self._owned = isinstance(context, str)
        with self._told("open the device"):
            if context == "own":
                # Waiting blocks instead of spinning: a node's CPU has other work.
                flags = self._cuda.ctx_flags.SCHED_BLOCKING_SYNC
                self._cuda_context = self._cuda.Device(0).make_context(flags)
                self._cuda.Context.pop()
            elif context == "primary":
                self._cuda_context = self._cuda.Device(0).retain_primary_context()
            else:
                self._cuda_context = context
        self._logger = _Logger(self._trt)
        with self.entered():
            self._runtime = self._trt.Runtime(self._logger.logger)

    @contextmanager
    def entered(self) -> Iterator[None]:
        with self._told("make the context current"):
            self._cuda_context.push()
        try:
            with self._told("run"):
                yield
        finally:
            self._cuda.Context.pop()

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Turn CUDA's errors into one that says what was being done."""
        try:
            yield
        except self._cuda.MemoryError as error:
            raise DeviceError(f"CUDA: out of device memory: {error}") from None
        except self._cuda.Error as error:
            raise DeviceError(f"CUDA: cannot {what}: {error}") from None

    def allocate(self, size: int) -> tuple[int, Handle]:
        handle = self._cuda.mem_alloc(max(size, 1))
        return int(handle), handle

    def pinned(self, count: int) -> NDArray[np.float32]:
        host: NDArray[np.float32] = self._cuda.pagelocked_empty(count, np.float32)
        return host

    def memory_used(self) -> int:
        free, total = self._cuda.mem_get_info()
        return int(total - free)

    def stream(self) -> Handle:
        return self._cuda.Stream(NON_BLOCKING)

    def event(self, *, timed: bool = False) -> Handle:
        kinds = self._cuda.event_flags
        return self._cuda.Event(kinds.DEFAULT if timed else kinds.DISABLE_TIMING)

    def record(self, event: Handle, stream: Handle) -> None:
        event.record(stream)

    def wait(self, stream: Handle, event: Handle) -> None:
        stream.wait_for_event(event)

    def seconds(self, first: Handle, last: Handle) -> float:
        return float(last.time_since(first)) / 1e3

    def upload(self, address: int, host: NDArray[np.float32], stream: Handle) -> None:
        self._cuda.memcpy_htod_async(address, host, stream)

    def download(self, host: NDArray[np.float32], address: int, stream: Handle) -> None:
        self._cuda.memcpy_dtoh_async(host, address, stream)

    def copy(self, target: int, source: int, size: int, stream: Handle) -> None:
        self._cuda.memcpy_dtod_async(target, source, size, stream)

    def synchronize(self, stream: Handle) -> None:
        stream.synchronize()

    def settle(self) -> bool:
        try:
            self._cuda.Context.synchronize()
        except self._cuda.Error:
            return False
        return True

    def load(self, content: bytes, name: str, *, host_code: bool) -> DeviceEngine:
        self._runtime.engine_host_code_allowed = host_code
        engine = self._runtime.deserialize_cuda_engine(content)
        if engine is None:
            raise DeviceError(f"TensorRT: cannot load the engine {name}: {self._logger.last}")
        return _Engine(self._trt, engine, name, self._logger)

    def begin_capture(self, stream: Handle) -> None:
        driver = self._graphs
        # Other threads of the application may go on using CUDA meanwhile.
        mode = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        _graph_call(driver, driver.cuStreamBeginCapture, stream.handle, mode)

    def end_capture(self, stream: Handle) -> Handle:
        driver = self._graphs
        graph = _graph_call(driver, driver.cuStreamEndCapture, stream.handle)
        try:
            return _GraphExec(driver, _graph_call(driver, driver.cuGraphInstantiate, graph, 0))
        finally:
            driver.cuGraphDestroy(graph)

    def launch(self, graph: Handle, stream: Handle) -> None:
        try:
            _graph_call(self._graphs, self._graphs.cuGraphLaunch, graph.handle, stream.handle)
        except CaptureError as error:
            raise DeviceError(str(error)) from None

    def close(self) -> None:
        try:
            with self.entered():
                self._runtime = None
            if self._owned:
                self._cuda_context.detach()
        except (DeviceError, self._cuda.Error):
            pass  # it is broken; the driver takes it back when the process ends


class _Engine(DeviceEngine):
    def __init__(self, trt: Any, cuda_engine: Any, name: str, logger: _Logger) -> None:
        self._trt, self._engine, self._name, self._logger = trt, cuda_engine, name, logger
        names = [cuda_engine.get_tensor_name(i) for i in range(cuda_engine.num_io_tensors)]
        self.tensors: Mapping[str, Tensor] = {
            tensor: Tensor(
                cuda_engine.get_tensor_mode(tensor) == trt.TensorIOMode.INPUT,
                np.dtype(trt.nptype(cuda_engine.get_tensor_dtype(tensor))).name,
                tuple(cuda_engine.get_tensor_shape(tensor)),
            )
            for tensor in names
        }
        self.scratch = int(cuda_engine.device_memory_size_v2)

    def context(self) -> DeviceContext:
        strategy = self._trt.ExecutionContextAllocationStrategy.USER_MANAGED
        context = self._engine.create_execution_context(strategy)
        if context is None:
            raise DeviceError(
                f"TensorRT: cannot make a context of {self._name}: {self._logger.last}"
            )
        inputs = [name for name, kind in self.tensors.items() if kind.is_input]
        return _Context(self._trt, context, inputs, self.scratch, self._name, self._logger)

    def inspect(self) -> str:
        inspector = self._engine.create_engine_inspector()
        text: str = inspector.get_engine_information(self._trt.LayerInformationFormat.JSON)
        return text


class _Context(DeviceContext):
    def __init__(
        self, trt: Any, context: Any, inputs: list[str], scratch: int, name: str, logger: _Logger
    ) -> None:
        self._trt = trt
        self._context, self._inputs, self._scratch = context, inputs, scratch
        self._name, self._logger = name, logger

    def configure(self, shapes: Shapes, addresses: Addresses, scratch: int) -> None:
        if self._scratch:
            self._context.set_device_memory(scratch, self._scratch)
        for name in self._inputs:
            self._check(self._context.set_input_shape(name, shapes[name]), f"shape {name}")
        for name, address in addresses.items():
            self._check(self._context.set_tensor_address(name, address), f"place {name}")

    def enqueue(self, stream: Handle) -> None:
        self._check(self._context.execute_async_v3(stream.handle), "be queued")

    def observe(self, tell: TellLayer) -> None:
        # With a profiler, and unless it is told otherwise, `execute_async_v3` waits and tells.
        self._context.profiler = _profiler(self._trt, tell)

    def _check(self, good: bool, what: str) -> None:
        if not good:
            raise DeviceError(f"TensorRT: {self._name} cannot {what}: {self._logger.last}")


class _GraphExec:
    """A graph that can be launched; freed with its last reference."""

    def __init__(self, driver: Any, handle: Any) -> None:
        self._driver, self.handle = driver, handle

    def __del__(self) -> None:
        self._driver.cuGraphExecDestroy(self.handle)


def _profiler(trt: Any, tell: TellLayer) -> Any:
    """TensorRT's profiler that tells seconds."""

    class Profiler(trt.IProfiler):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            tell(layer_name, ms / 1e3)

    return Profiler()


class _Logger:
    """Keeps what TensorRT last complained of, for the message of the error that follows."""

    def __init__(self, trt: Any) -> None:
        self.last = "TensorRT gave no reason"
        outer = self
        grave = (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR)

        class Logger(trt.ILogger):  # type: ignore[misc]
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, severity: Any, message: str) -> None:
                if severity in grave:
                    outer.last = message.strip()

        self.logger = Logger()


def _load_graphs() -> Any:
    """cuda-python's driver module; None where it is not installed: then nothing is captured."""
    try:
        from cuda.bindings import driver
    except (ImportError, OSError):
        try:
            from cuda import cuda as driver  # before cuda-python 12.6.1
        except (ImportError, OSError):
            return None
    return driver


def _graph_call(driver: Any, function: Callable[..., tuple[Any, ...]], *arguments: Any) -> Any:
    """Call a function of cuda-python, which returns its error code first.

    Raises:
        CaptureError: it is not success.
    """
    code, *results = function(*arguments)
    if int(code) != 0:
        _, text = driver.cuGetErrorString(code)
        said = text.decode() if isinstance(text, bytes) else code
        raise CaptureError(f"CUDA: {function.__name__}: {said}")
    return results[0] if results else None
