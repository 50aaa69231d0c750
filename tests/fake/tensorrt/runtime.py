"""What runs the engines of the played `tensorrt`: ONNX Runtime, on the memory of the CUDA driver
that runs on the host (`tests/fake/libcuda`), when the stream of an engine comes to it.

It is as strict as NVIDIA's documentation: an execution context that is freed before its work is
done, that two streams run, that is changed after it was captured, or whose scratch memory somebody
else writes to; an object that is freed without a CUDA context: all of that is told to the driver,
whose tests ask for it.
"""

import ctypes
import functools
import hashlib
import itertools
import json
import threading
import traceback
import weakref
from enum import IntEnum

import numpy as np

from runtime.backends.onnxruntime.providers import CPU
from runtime.backends.onnxruntime.session import Pool, open_session
from tensorrt import DataType, ILogger

ELEMENT = {"tensor(float)": DataType.FLOAT, "tensor(float16)": DataType.HALF}
"""By ONNX Runtime's name for the type of a tensor."""

NUMPY = {DataType.FLOAT: np.float32, DataType.HALF: np.float16}

SCRATCH = 1024
"""Bytes, times 1 to 7: engines want different amounts."""


class TensorIOMode(IntEnum):
    NONE, INPUT, OUTPUT = 0, 1, 2


class ExecutionContextAllocationStrategy(IntEnum):
    STATIC, ON_PROFILE_CHANGE, USER_MANAGED = 0, 1, 2


class LayerInformationFormat(IntEnum):
    ONELINE, JSON = 0, 1


class IProfiler:
    pass


def nptype(dtype):
    return NUMPY[dtype]


@functools.lru_cache(1)
def host_driver():
    """The library; None where the driver is another one."""
    try:
        library = ctypes.CDLL("libcuda.so.1")
        library.host_cuda_work  # noqa: B018
    except (OSError, AttributeError):
        return None
    library.cuStreamSynchronize.argtypes = [ctypes.c_void_p]
    library.cuStreamIsCapturing.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    library.host_cuda_work.argtypes = [
        *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p),
        *(ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int),
    ]
    library.host_cuda_complain.argtypes = [ctypes.c_char_p]
    return library


def complain(text):
    host_driver().host_cuda_complain(text.encode())


class Freed(str):
    """Complains where its owner is freed without a CUDA context. As an object of a library it has
    nothing that a collection of cycles could finalize before its time: no dictionary, no slots."""

    __slots__ = ()

    def __del__(self):
        current = ctypes.c_void_p()
        if host_driver().cuCtxGetCurrent(ctypes.byref(current)) == 0 and not current.value:
            complain(f"{self} was freed where no CUDA context is current")


@functools.lru_cache(64)
def opened(digest, model):
    """One session for all engines of the same content. INT8 is computed to the letter: on CPUs
    without VNNI the integer kernels are right for weights of 7 bits only."""
    Pool.ensure(None)
    return open_session(model, CPU, digest, literal=True)


class Runtime:
    def __init__(self, logger):
        self._logger = logger
        self.engine_host_code_allowed = False
        self._freed = Freed("a runtime") if host_driver() else None

    def deserialize_cuda_engine(self, content):
        if host_driver() is None:
            self._logger.log(ILogger.ERROR, "this tensorrt is played: it needs the host driver")
            return None
        facts, separator, model = bytes(content).partition(b"\n")
        if not separator or not facts.startswith(b"engine "):
            self._logger.log(ILogger.ERROR, "Serialization assertion failed")
            return None
        return Engine(json.loads(facts.removeprefix(b"engine ")), model, self._logger)


class Engine:
    def __init__(self, facts, model, logger):
        self.profile, self.logger = facts["profile"], logger
        self._freed = Freed("an engine")
        self.session = opened(hashlib.sha256(model).hexdigest(), model)
        inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        self.inputs = [tensor.name for tensor in inputs]
        self.tensors = {tensor.name: tensor for tensor in (*inputs, *outputs)}
        self.num_io_tensors = len(self.tensors)
        self.device_memory_size_v2 = SCRATCH * (1 + len(model) % 7)

    def get_tensor_name(self, index):
        return list(self.tensors)[index]

    def get_tensor_mode(self, name):
        return TensorIOMode.INPUT if name in self.inputs else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name):
        return ELEMENT[self.tensors[name].type]

    def get_tensor_shape(self, name):
        return tuple(d if isinstance(d, int) else -1 for d in self.tensors[name].shape)

    def create_execution_context(self, strategy):
        assert strategy == ExecutionContextAllocationStrategy.USER_MANAGED
        return ExecutionContext(self)

    def create_engine_inspector(self):
        return Inspector(self)


class Inspector:
    def __init__(self, engine):
        self._engine = engine

    def get_engine_information(self, form):
        assert form == LayerInformationFormat.JSON
        return json.dumps({"Layers": [{"Name": "played", "LayerType": "OnnxRuntime"}]})


class ExecutionContext:
    made = itertools.count()
    living = weakref.WeakValueDictionary()  # noqa: RUF012

    def __init__(self, engine):
        self.engine, self.profiler = engine, None
        self._freed = Freed("an execution context")
        self.shapes, self.addresses, self.memory = {}, {}, (0, 0)
        self.version = 0
        self.number = next(self.made)
        self.living[self.number] = self
        self.running = threading.Lock()
        self.queued = []  # the streams of what has not run yet
        self.captured = None

    def set_device_memory(self, address, size):
        self._set(memory=(address, size))

    def set_input_shape(self, name, shape):
        low, _, high = self.engine.profile[name]
        if not all(a <= d <= b for a, d, b in zip(low, shape, high, strict=True)):
            self.engine.logger.log(ILogger.ERROR, f"{name}: {shape} is not in the profile")
            return False
        self._set(shapes={**self.shapes, name: tuple(shape)})
        return True

    def set_tensor_address(self, name, address):
        self._set(addresses={**self.addresses, name: address})
        return True

    def _set(self, **values):
        if any(getattr(self, name) != value for name, value in values.items()):
            self.version += 1
        vars(self).update(values)

    def sizes(self):
        symbols = {}
        for name in self.engine.inputs:
            given = zip(self.engine.tensors[name].shape, self.shapes[name], strict=True)
            symbols.update((d, size) for d, size in given if not isinstance(d, int))
        sizes = {
            name: tuple(symbols.get(d, d) for d in tensor.shape)
            for name, tensor in self.engine.tensors.items()
        }
        if all(isinstance(d, int) for shape in sizes.values() for d in shape):
            return sizes
        # What follows from the shapes of inputs by computing, TensorRT works out as well.
        feed = {name: np.zeros(sizes[name], np.float32) for name in self.engine.inputs}
        outputs = [name for name in sizes if name not in feed]
        made = self.engine.session.run(outputs, feed)
        return sizes | {name: array.shape for name, array in zip(outputs, made, strict=True)}

    def execute_async_v3(self, stream):
        driver, wanted = host_driver(), self.engine.device_memory_size_v2
        if self.memory[1] < wanted or set(self.addresses) != set(self.engine.tensors):
            self.engine.logger.log(ILogger.ERROR, "tensors or scratch memory have no address")
            return False
        status = ctypes.c_int()
        if code := driver.cuStreamIsCapturing(stream, ctypes.byref(status)):
            self.engine.logger.log(ILogger.ERROR, f"Cuda Runtime error {code} in execute")
            return False
        sizes = self.sizes()
        if status.value:
            self.captured = self.version
        else:
            if any(other != stream for other in self.queued):
                complain("an execution context was queued on two streams at once")
            self.queued.append(stream)
        spans = [(self.memory[0], wanted, 1)]
        for name, shape in sizes.items():
            item = np.dtype(nptype(self.engine.get_tensor_dtype(name))).itemsize
            writes = int(name not in self.engine.inputs)
            spans.append((self.addresses[name], int(np.prod(shape)) * item, writes))
        given = json.dumps(
            [self.number, self.version, bool(status.value), sizes, self.addresses, self.memory[0]]
        ).encode()
        flat = (ctypes.c_uint64 * (3 * len(spans)))(*itertools.chain.from_iterable(spans))
        code = driver.host_cuda_work(stream, run, given, len(given), flat, len(spans))
        if code:
            self.engine.logger.log(ILogger.ERROR, f"Cuda Runtime error {code} in execute")
            return False
        if self.profiler is not None and not status.value:
            driver.cuStreamSynchronize(stream)
            self.profiler.report_layer_time("played", 1.0)
        return True

    def compute(self, sizes, addresses, scratch):
        def array(name):
            dtype = np.dtype(nptype(self.engine.get_tensor_dtype(name)))
            size = int(np.prod(sizes[name])) * dtype.itemsize
            return view(addresses[name], size).view(dtype).reshape(sizes[name])

        mine = view(scratch, self.engine.device_memory_size_v2)
        mine[...] = self.number % 251
        outputs = [name for name in self.engine.tensors if name not in self.engine.inputs]
        feed = {name: array(name) for name in self.engine.inputs}
        for name, found in zip(outputs, self.engine.session.run(outputs, feed), strict=True):
            array(name)[...] = found
        if (mine != self.number % 251).any():
            complain("scratch memory of an engine that runs was written by another one")


def view(address, size):
    return np.frombuffer((ctypes.c_uint8 * size).from_address(address), np.uint8)


@ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_size_t)
def run(given, size):
    """Called by the thread of a stream."""
    number, version, captured, sizes, addresses, scratch = json.loads(ctypes.string_at(given, size))
    context = ExecutionContext.living.get(number)
    if context is None:
        complain("an execution context was freed before its work was done")
        return
    if captured and context.version != version:
        complain("an execution context was changed after it was captured")
    if not context.running.acquire(blocking=False):
        complain("an execution context runs twice at once")
        return
    try:
        if not captured:
            context.queued.pop(0)
        context.compute(sizes, addresses, scratch)
    except Exception:
        complain(traceback.format_exc(limit=2))
    finally:
        context.running.release()
