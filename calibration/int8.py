"""INT8 forms of an engine, from its FP32 and a table of ranges.

- Branches and CMFTs: pairs of quantize and dequantize, by `onnxruntime.quantization`; int8 weights
  with a scale for each channel.
  TensorRT: symmetric int8 activations, a pair before each convolution and on the skipping input of
  each residual addition, so that convolution, addition and ReLU stay one kernel; biases in float.
  CPU: uint8 activations, pairs around convolutions, additions, pooling and pixel shuffles, so that
  these pass int8 on to each other. What a ReLU would clip, the lowest of a uint8 clips. Without
  VNNI weights have 7 bits, since two products are added in 16.
- CBAM stays float: its gates multiply everything behind them, and it costs next to nothing. So does
  the linear map behind a CMFT. Their matrices are stored in half.
- Edges multiply one vector by large matrices, so their cost is reading these. On a CPU the
  matrices are int8 in blocks with a scale each (`MatMulNBits`), and activations are quantized
  row by row as they come, so an embedding does not depend on its neighbours in a batch. For
  TensorRT, which has no such product with 8 bits, an edge's INT8 form is its FP16.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import onnx

from calibration.onnxruntime_tools import (
    CalibrationMethod,
    DefaultWeightOnlyQuantConfig,
    MatMulNBitsQuantizer,
    ONNXModel,
    QDQQuantizer,
    QuantType,
    TensorData,
    TensorsData,
)
from calibration.ranges import Method, Ranges
from runtime.bundle.forms import Platform

ON_CPU = ("Conv", "Relu", "MaxPool", "Add", "Transpose", "Reshape")
ON_TENSORRT = ("Conv", "MaxPool")

KEPT_FLOAT = "branch.attention"
"""Weights of CBAM are named so."""

BLOCK = 128
"""Weights of an edge's matrix that share a scale."""

INT8_PRODUCTS = 4
"""`accuracy_level` of MatMulNBits: multiply in int8. The others unpack the weights to float, which
was 40 times slower."""


def int8_edge(model: bytes) -> bytes:
    """An edge with int8 matrices, for a CPU."""
    quantizer = MatMulNBitsQuantizer(
        onnx.load_from_string(model),
        algo_config=DefaultWeightOnlyQuantConfig(
            block_size=BLOCK, is_symmetric=True, accuracy_level=INT8_PRODUCTS, bits=8
        ),
    )
    with _quiet("onnxruntime.quantization.matmul_nbits_quantizer"):
        quantizer.process()
    return _finished(quantizer.model)


def int8_engine(
    model: bytes, ranges: Mapping[str, Ranges], method: Method, platform: Platform
) -> bytes:
    """A branch or CMFT as INT8.

    Args:
        model: in FP32.
        ranges: of each of its tensors.
        method: which range of a tensor is taken.
        platform: what it is made for.
    """
    proto = onnx.shape_inference.infer_shapes(onnx.load_from_string(model))
    tensorrt = platform == "trt"
    quantizer = QDQQuantizer(
        proto,
        per_channel=True,
        reduce_range=platform == "avx2",
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QInt8 if tensorrt else QuantType.QUInt8,
        tensors_range=_ranges(ranges, method),
        nodes_to_quantize=[],
        nodes_to_exclude=_kept_float(proto.graph),
        op_types_to_quantize=list(ON_TENSORRT if tensorrt else ON_CPU),
        extra_options={
            "OpTypesToExcludeOutputQuantization": list(ON_TENSORRT) if tensorrt else [],
            "ActivationSymmetric": tensorrt,
            "WeightSymmetric": True,
            "QuantizeBias": not tensorrt,
        },
    )
    with _quiet(None):
        for name in _skipping(proto.graph) if tensorrt else ():
            quantizer.quantize_activation_tensor(name)
        quantizer.quantize_model()
    quantizer.model.clean_initializers()
    _store_in_half(quantizer.model.model.graph)
    return _finished(quantizer.model)


def _store_in_half(graph: onnx.GraphProto) -> None:
    """Keep matrices that stay float in 16 bits, and widen them when the engine is loaded.

    It halves what is left of an INT8 engine's file. The rounding is far below that of the rest.
    """
    for weight in list(graph.initializer):
        if weight.data_type != onnx.TensorProto.FLOAT or len(weight.dims) < 2:
            continue
        values = onnx.numpy_helper.to_array(weight)
        half = onnx.numpy_helper.from_array(values.astype(np.float16), f"{weight.name}_half")
        graph.initializer.remove(weight)
        graph.initializer.append(half)
        graph.node.append(
            onnx.helper.make_node(
                "Cast", [half.name], [weight.name], f"{weight.name}_wide", to=weight.data_type
            )
        )


def _ranges(ranges: Mapping[str, Ranges], method: Method) -> TensorsData:
    made: dict[str, TensorData] = {}
    for name, known in ranges.items():
        low, high = known.by(method)
        # Zero has to be a value of its own: padding and a ReLU's floor are exactly that.
        made[name] = TensorData(
            lowest=np.float32(min(low, 0.0)), highest=np.float32(max(high, 0.0, low + 1e-6))
        )
    return TensorsData(CalibrationMethod.MinMax, made)


def _kept_float(graph: onnx.GraphProto) -> list[str]:
    """Nodes of CBAM, among them what shapes its reductions, and additions of anything but maps."""
    maps = {node.name for node in _residual(graph)}
    reduced = {name for n in graph.node if n.op_type.startswith("Reduce") for name in n.input}
    return [
        node.name
        for node in graph.node
        if any(name.startswith(KEPT_FLOAT) for name in node.input)
        or (node.op_type == "Add" and node.name not in maps)
        or (node.op_type == "Reshape" and reduced.intersection(node.output))
    ]


def _skipping(graph: onnx.GraphProto) -> list[str]:
    """Of each residual addition, the input that skips the block: the second."""
    return [node.input[1] for node in _residual(graph)]


def _residual(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The additions of maps."""
    ranks = {
        value.name: len(value.type.tensor_type.shape.dim)
        for value in (*graph.value_info, *graph.output)
    }
    return [n for n in graph.node if n.op_type == "Add" and ranks.get(n.output[0]) == 4]


def _finished(quantized: ONNXModel) -> bytes:
    """Checked, and without notes on the tools: the bytes depend on weights and ranges alone."""
    quantized.clean_initializers()
    quantized.topological_sort()
    model = quantized.model
    model.producer_name, model.producer_version = "denet", ""
    del model.metadata_props[:]
    del model.graph.value_info[:]
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


@contextmanager
def _quiet(name: str | None) -> Iterator[None]:
    """The quantizers tell of every node, through the root logger or their own."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
