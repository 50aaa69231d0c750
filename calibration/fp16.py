"""The FP16 form of an engine: a strongly typed graph, seen not to overflow on real activations.

Inputs and outputs stay float32. A value passes between engines in a buffer that engines of any
precision read, so each can be exchanged alone; the conversion of a feature is a small part of what
reading it costs. Means over a map are summed in float32: half has 11 bits, and a sum of a hundred
values of one sign needs seven more.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import onnx

from calibration.onnxruntime_tools import ONNXModel, convert_float_to_float16
from calibration.ranges import Ranges

LARGEST = 65504.0
"""The largest half."""

MARGIN = 2.0
"""How far under it what was seen must stay: other images than those of the calibration come."""

SUMS = ["ReduceMean", "ReduceSum"]


def overflow(model: bytes, ranges: Mapping[str, Ranges]) -> str | None:
    """What would overflow in half: the first tensor or weight that is too large, in words."""
    for name, known in ranges.items():
        largest = max(abs(value) for value in known.minmax)
        if largest * MARGIN > LARGEST:
            return f"the tensor {name} reaches {largest:.3g}, and half ends at {LARGEST:.5g}"
    for weight in onnx.load_from_string(model).graph.initializer:
        if weight.data_type == onnx.TensorProto.FLOAT:
            largest = float(np.abs(onnx.numpy_helper.to_array(weight)).max(initial=0))
            if largest > LARGEST:
                return f"the weight {weight.name} has {largest:.3g}, and half ends at {LARGEST:.5g}"
    return None


def fp16_engine(model: bytes) -> bytes:
    """An engine in FP16, its inputs and outputs in FP32."""
    proto = onnx.load_from_string(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # weights under the smallest half become that
        converted = convert_float_to_float16(proto, keep_io_types=True, op_block_list=SUMS)
    ONNXModel(converted).topological_sort()  # the casts of the inputs come last
    del converted.graph.value_info[:]
    onnx.checker.check_model(converted)
    content: bytes = converted.SerializeToString(deterministic=True)
    return content
