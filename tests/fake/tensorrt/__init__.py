"""A `tensorrt` that builds nothing: it reads ONNX, and does what FAKE_TENSORRT says. Its engines
are the ONNX files; `runtime` beside this runs them, on the CUDA driver that runs on the host.

As much of the API as `export.tensorrt` and `runtime.backends.tensorrt` use, on the numbers of 10.3;
a name that is not here does not exist. FAKE_TENSORRT is a list of words: "no-builder", "weak",
"no-profile", "none", "memory", "kill", "abort", "noise", "hang", "raise".
"""

import importlib
import json
import os
import signal
import sys
import time
from enum import IntEnum

__version__ = "10.3.0"

RUNTIME = (
    "ExecutionContextAllocationStrategy",
    "IProfiler",
    "LayerInformationFormat",
    "Runtime",
    "TensorIOMode",
    "nptype",
)


def __getattr__(name):
    """What runs engines needs ONNX Runtime, and is imported where it is asked for."""
    if name not in RUNTIME:
        raise AttributeError(f"module 'tensorrt' has no attribute {name!r}")
    return getattr(importlib.import_module("tensorrt.runtime"), name)


MODE = os.environ.get("FAKE_TENSORRT", "").split()


class NetworkDefinitionCreationFlag(IntEnum):
    EXPLICIT_BATCH = 0
    STRONGLY_TYPED = 1


class BuilderFlag(IntEnum):
    TF32 = 6
    VERSION_COMPATIBLE = 13


class HardwareCompatibilityLevel(IntEnum):
    NONE = 0
    AMPERE_PLUS = 1


class ProfilingVerbosity(IntEnum):
    DETAILED = 2


class MemoryPoolType(IntEnum):
    WORKSPACE = 0


class LayerType(IntEnum):
    CONVOLUTION = 0
    DECONVOLUTION = 7
    MATRIX_MULTIPLY = 17
    QUANTIZE = 32
    DEQUANTIZE = 33
    OTHER = 99


class DataType(IntEnum):
    FLOAT = 0
    HALF = 1
    INT8 = 2
    INT32 = 3
    INT64 = 8


class ErrorCode(IntEnum):
    MODEL_DESERIALIZE_FAILED = 3
    INVALID_NODE = 6
    UNSUPPORTED_NODE = 8


class ILogger:
    INTERNAL_ERROR, ERROR, WARNING = "INTERNAL_ERROR", "ERROR", "WARNING"


class IProgressMonitor:
    pass


LAYERS = {
    "Conv": LayerType.CONVOLUTION,
    "MatMul": LayerType.MATRIX_MULTIPLY,
    "Gemm": LayerType.MATRIX_MULTIPLY,
    "QuantizeLinear": LayerType.QUANTIZE,
    "DequantizeLinear": LayerType.DEQUANTIZE,
}

DTYPES = {
    1: DataType.FLOAT,
    3: DataType.INT8,
    6: DataType.INT32,
    7: DataType.INT64,
    10: DataType.HALF,
}
"""By ONNX's number for them."""


class Tensor:
    def __init__(self, value):
        self.name = value.name
        self.dtype = DTYPES[value.type.tensor_type.elem_type]
        dims = value.type.tensor_type.shape.dim
        self.shape = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in dims)


class Layer:
    def __init__(self, node, tensors):
        self.name = node.name
        self.type = LAYERS.get(node.op_type, LayerType.OTHER)
        self._inputs = [tensors.get(name) for name in node.input]
        self._outputs = [tensors[name] for name in node.output if name in tensors]
        self.num_inputs, self.num_outputs = len(self._inputs), len(self._outputs)

    def get_input(self, index):
        return self._inputs[index]

    def get_output(self, index):
        return self._outputs[index]


class Network:
    def __init__(self):
        self.layers, self.inputs, self.outputs, self.model = [], [], [], b""

    def get_flag(self, flag):
        return "weak" not in MODE

    def get_layer(self, index):
        return self.layers[index]

    def get_input(self, index):
        return self.inputs[index]

    def get_output(self, index):
        return self.outputs[index]

    num_layers = property(lambda self: len(self.layers))
    num_inputs = property(lambda self: len(self.inputs))
    num_outputs = property(lambda self: len(self.outputs))


class ParserError:
    def __init__(self, code, desc, node=-1, name="", operator=""):
        self._facts = code, desc, node, name, operator

    def code(self):
        return self._facts[0]

    def desc(self):
        return self._facts[1]

    def node(self):
        return self._facts[2]

    def node_name(self):
        return self._facts[3]

    def node_operator(self):
        return self._facts[4]


class OnnxParser:
    def __init__(self, network, logger):
        self._network, self._errors = network, []

    def parse(self, model):
        import onnx  # here, because importing `tensorrt` must not need it

        try:
            graph = onnx.shape_inference.infer_shapes(onnx.load_from_string(model)).graph
        except Exception:
            self._errors.append(ParserError(ErrorCode.MODEL_DESERIALIZE_FAILED, "cannot be parsed"))
            return False
        for number, node in enumerate(graph.node):
            if node.op_type == "Det":
                facts = ErrorCode.UNSUPPORTED_NODE, "false", number, node.name, node.op_type
                self._errors.append(ParserError(*facts))
        values = [*graph.value_info, *graph.input, *graph.output]
        values += [
            onnx.helper.make_tensor_value_info(t.name, t.data_type, t.dims)
            for t in graph.initializer
        ]
        tensors = {v.name: Tensor(v) for v in values if v.type.tensor_type.elem_type in DTYPES}
        self._network.layers = [
            layer for node in graph.node if (layer := Layer(node, tensors)).num_outputs
        ]
        self._network.inputs = [tensors[v.name] for v in graph.input]
        self._network.outputs = [tensors[v.name] for v in graph.output]
        self._network.model = bytes(model)
        return not self._errors

    num_errors = property(lambda self: len(self._errors))

    def get_error(self, index):
        return self._errors[index]


class Profile:
    def __init__(self):
        self.shapes = {}

    def set_shape(self, name, least, typical, most):
        self.shapes[name] = least, typical, most


class TimingCache:
    def __init__(self, content):
        self.content = bytes(content)

    def serialize(self):
        return self.content + b"+"


class Config:
    def __init__(self):
        self.flags, self.pools, self.profiles, self.cache = {BuilderFlag.TF32}, {}, [], None
        self.progress_monitor = None

    def set_flag(self, flag):
        self.flags.add(flag)

    def clear_flag(self, flag):
        self.flags.discard(flag)

    def set_memory_pool_limit(self, pool, limit):
        self.pools[pool] = limit

    def add_optimization_profile(self, profile):
        self.profiles.append(profile)
        return -1 if "no-profile" in MODE else 0

    def create_timing_cache(self, content):
        return None if content.startswith(b"damaged") else TimingCache(content)

    def set_timing_cache(self, cache, ignore_mismatch):
        self.cache = cache
        return not cache.content.startswith(b"foreign")

    def get_timing_cache(self):
        return self.cache


class Builder:
    last = None

    def __init__(self, logger):
        if "no-builder" in MODE:
            logger.log(ILogger.ERROR, "CUDA initialization failure with error: 35")
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self._logger = logger
        Builder.last = self

    def create_network(self, flags):
        assert flags == 1 << NetworkDefinitionCreationFlag.STRONGLY_TYPED
        return Network()

    def create_builder_config(self):
        self.config = Config()
        return self.config

    def create_optimization_profile(self):
        return Profile()

    def build_serialized_network(self, network, config):
        if "noise" in MODE:
            os.write(1, b"a library says something\n")
            print("and Python, too")
        if "kill" in MODE:
            os.kill(os.getpid(), signal.SIGKILL)
        if "abort" in MODE:
            os.abort()
        if "raise" in MODE:
            sys.exit("what nobody thought of")
        monitor = config.progress_monitor
        monitor.phase_start("building", None, 2)
        monitor.phase_start("timing", "building", 4)
        for step in range(4):
            monitor.step_complete("timing", step)
        monitor.phase_finish("timing")
        monitor.step_complete("building", 0)
        while "hang" in MODE:
            time.sleep(0.05)
        monitor.step_complete("building", 1)
        monitor.phase_finish("building")
        if "none" in MODE:
            self._logger.log(ILogger.WARNING, "only a warning")
            self._logger.log(ILogger.ERROR, "Error Code 10: no implementation for node X\n")
            self._logger.log(ILogger.ERROR, "what follows from that")
            return None
        if "memory" in MODE:
            self._logger.log(ILogger.ERROR, "Error Code 2: OutOfMemory")
            return None
        profile = config.profiles[-1].shapes if config.profiles else {}
        facts = json.dumps({"layers": network.num_layers, "profile": profile}).encode()
        return b"engine %s\n%s" % (facts, network.model)
