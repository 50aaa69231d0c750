"""The TensorRT backend's device: PyCUDA for memory, streams and events, TensorRT for engines, and
cuda-python for graphs. This is all of the backend that needs a GPU; it decides nothing.

PyCUDA frees what its objects stand for only in a thread where their context is current, so a
context is pushed for each piece of work and popped after it, and never left current.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from denet.packages import absent
from runtime.backends.base import BackendError
from runtime.backends.tensorrt.context import CudaContext, HeldContext
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
from runtime.backends.tensorrt.owned import (
    Owned,
    OwnedGraph,
    OwnedHandle,
    OwnedObjects,
    PinnedMemory,
)

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


P = ParamSpec("P")
R = TypeVar("R")


def _told(
    method: Callable[Concatenate[CudaDevice, P], R],
) -> Callable[Concatenate[CudaDevice, P], R]:
    """The method, with PyCUDA's errors turned into `DeviceError`."""

    @functools.wraps(method)
    def telling(self: CudaDevice, /, *given: P.args, **named: P.kwargs) -> R:
        try:
            return method(self, *given, **named)
        except self._cuda.Error as error:
            raise self._error("run", error) from None

    return telling


class CudaDevice(Device):
    """CUDA device 0.

    Raises:
        BackendError: it cannot be used; says what is missing.
    """

    def __init__(self, context: CudaContext = "own") -> None:
        self.trt = load_tensorrt()
        self._cuda = load_pycuda()
        # In a context that may be broken PyCUDA can free nothing, and says so on standard error.
        self._failed = False
        self._graphs = _load_graphs()
        self.captures = self._graphs is not None
        try:
            self._held = HeldContext(self._cuda, context)
        except self._cuda.Error as error:
            raise self._error("open the device", error) from None
        self.logger = _Logger(self.trt)
        self._runtime: Any = None
        self.owned = OwnedObjects()
        try:
            with self.entered():
                self._runtime = self.trt.Runtime(self.logger.logger)
        except TypeError:  # what the bindings make of an object that is not given
            self.close()
            raise DeviceError(f"TensorRT: does not start: {self.logger.last}") from None
        except DeviceError:
            self.close()
            raise

    @contextmanager
    def entered(self) -> Iterator[None]:
        try:
            self._held.enter()
        except self._cuda.Error as error:
            raise self._error("make the context current", error) from None
        try:
            if not self._failed:
                self.owned.free_dropped()
            yield
        except BaseException:
            self._failed = True
            with suppress(self._cuda.Error):  # the first error is the reason
                self._held.leave()
            raise
        try:
            self._held.leave()
        except self._cuda.Error as error:
            self._failed = True
            raise self._error("leave the context", error) from None

    def _error(self, what: str, error: Exception) -> DeviceError:
        if isinstance(error, self._cuda.MemoryError):
            return DeviceError(f"CUDA: out of device memory: {error}")
        return DeviceError(f"CUDA: cannot {what}: {error}")

    @_told
    def allocate(self, size: int) -> tuple[int, Handle]:
        memory = self._cuda.mem_alloc(max(size, 1))
        return int(memory), OwnedHandle(self.owned, memory)

    @_told
    def pinned(self, count: int) -> NDArray[np.float32]:
        array = self._cuda.pagelocked_empty(count, np.float32)
        return np.asarray(PinnedMemory(self.owned, array))

    @_told
    def memory_used(self) -> int:
        free, total = self._cuda.mem_get_info()
        return int(total - free)

    @_told
    def stream(self) -> Handle:
        return OwnedHandle(self.owned, self._cuda.Stream(NON_BLOCKING))

    @_told
    def event(self, *, timed: bool = False) -> Handle:
        kinds = self._cuda.event_flags
        event = self._cuda.Event(kinds.DEFAULT if timed else kinds.DISABLE_TIMING)
        return OwnedHandle(self.owned, event)

    @_told
    def record(self, event: Handle, stream: Handle) -> None:
        event.raw.record(stream.raw)

    @_told
    def wait(self, stream: Handle, event: Handle) -> None:
        stream.raw.wait_for_event(event.raw)

    @_told
    def seconds(self, first: Handle, last: Handle) -> float:
        return float(last.raw.time_since(first.raw)) / 1e3

    @_told
    def upload(self, address: int, host: NDArray[np.float32], stream: Handle) -> None:
        self._cuda.memcpy_htod_async(address, host, stream.raw)

    @_told
    def download(self, host: NDArray[np.float32], address: int, stream: Handle) -> None:
        self._cuda.memcpy_dtoh_async(host, address, stream.raw)

    @_told
    def copy(self, target: int, source: int, size: int, stream: Handle) -> None:
        self._cuda.memcpy_dtod_async(target, source, size, stream.raw)

    @_told
    def synchronize(self, stream: Handle) -> None:
        stream.raw.synchronize()

    def settle(self) -> bool:
        try:
            self._cuda.Context.synchronize()
        except self._cuda.Error:
            self._failed = True
        else:
            self._failed = False
        return not self._failed

    def load(self, content: bytes, name: str, *, host_code: bool) -> DeviceEngine:
        self._runtime.engine_host_code_allowed = host_code
        engine = self._runtime.deserialize_cuda_engine(content)
        if engine is None:
            raise DeviceError(f"TensorRT: cannot load the engine {name}: {self.logger.last}")
        return _Engine(self, engine, name)

    def begin_capture(self, stream: Handle) -> None:
        driver = self._graphs
        # Other threads of the application may go on using CUDA meanwhile.
        mode = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        _graph_call(driver, driver.cuStreamBeginCapture, stream.raw.handle, mode)

    def end_capture(self, stream: Handle) -> Handle:
        driver = self._graphs
        try:
            graph = _graph_call(driver, driver.cuStreamEndCapture, stream.raw.handle)
        except CaptureError:
            # An error may be one of earlier work, and the stream must not stay captured.
            _, graph = driver.cuStreamEndCapture(stream.raw.handle)
            if graph:
                driver.cuGraphDestroy(graph)
            raise
        try:
            handle = _graph_call(driver, driver.cuGraphInstantiate, graph, 0)
            return Owned(self.owned, OwnedGraph(driver, handle))
        finally:
            driver.cuGraphDestroy(graph)

    def launch(self, graph: Handle, stream: Handle) -> None:
        try:
            launch = self._graphs.cuGraphLaunch
            _graph_call(self._graphs, launch, graph.raw.handle, stream.raw.handle)
        except CaptureError as error:
            raise DeviceError(str(error)) from None

    def close(self) -> None:
        # Before the context goes, and whoever still refers to them: a traceback does.
        with suppress(DeviceError), self.entered():
            self.owned.release(broken=self._failed)
            self._runtime = None
        with suppress(self._cuda.Error):  # it is broken; the driver takes it back in the end
            self._held.give_back()


class _Engine(Owned, DeviceEngine):
    last = True

    def __init__(self, device: CudaDevice, cuda_engine: Any, name: str) -> None:
        super().__init__(device.owned, cuda_engine)
        trt = device.trt
        self._device, self._trt, self._name, self._logger = device, trt, name, device.logger
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

    @property
    def _engine(self) -> Any:
        """Kept in no variable, for a traceback would keep that."""
        return self.raw

    def context(self) -> DeviceContext:
        strategy = self._trt.ExecutionContextAllocationStrategy.USER_MANAGED
        context = self._engine.create_execution_context(strategy)
        if context is None:
            raise DeviceError(
                f"TensorRT: cannot make a context of {self._name}: {self._logger.last}"
            )
        return _Context(self._device, self, context)

    def inspect(self) -> str:
        inspector = self._engine.create_engine_inspector()
        text: str = inspector.get_engine_information(self._trt.LayerInformationFormat.JSON)
        return text


class _Context(Owned, DeviceContext):
    def __init__(self, device: CudaDevice, engine: _Engine, context: Any) -> None:
        super().__init__(device.owned, context)
        self._trt, self._name, self._logger = engine._trt, engine._name, engine._logger
        self._scratch = engine.scratch
        self._inputs = [name for name, kind in engine.tensors.items() if kind.is_input]

    @property
    def _context(self) -> Any:
        """As an engine's."""
        return self.raw

    def configure(self, shapes: Shapes, addresses: Addresses, scratch: int) -> None:
        if self._scratch:
            self._context.set_device_memory(scratch, self._scratch)
        for name in self._inputs:
            self._check(self._context.set_input_shape(name, shapes[name]), f"shape {name}")
        for name, address in addresses.items():
            self._check(self._context.set_tensor_address(name, address), f"place {name}")

    def enqueue(self, stream: Handle) -> None:
        self._check(self._context.execute_async_v3(stream.raw.handle), "be queued")

    def observe(self, tell: TellLayer) -> None:
        # With a profiler, and unless it is told otherwise, `execute_async_v3` waits and tells.
        self._context.profiler = _profiler(self._trt, tell)

    def _check(self, good: bool, what: str) -> None:
        if not good:
            raise DeviceError(f"TensorRT: {self._name} cannot {what}: {self._logger.last}")


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
