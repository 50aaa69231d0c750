"""What calibration takes of ONNX Runtime's tools, which must not load it by themselves: see
`runtime.backends.onnxruntime.library`."""

from __future__ import annotations

import runtime.backends.onnxruntime.library  # noqa: F401

# isort: split
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import HistogramCollector, TensorData, TensorsData
from onnxruntime.quantization.matmul_nbits_quantizer import (
    DefaultWeightOnlyQuantConfig,
    MatMulNBitsQuantizer,
)
from onnxruntime.quantization.onnx_model import ONNXModel
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.transformers.float16 import convert_float_to_float16

__all__ = [
    "CalibrationMethod",
    "DefaultWeightOnlyQuantConfig",
    "HistogramCollector",
    "MatMulNBitsQuantizer",
    "ONNXModel",
    "QDQQuantizer",
    "QuantType",
    "TensorData",
    "TensorsData",
    "convert_float_to_float16",
]
