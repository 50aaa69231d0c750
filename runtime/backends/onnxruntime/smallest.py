"""A model to try with whether ONNX Runtime can start something."""

from __future__ import annotations

RELU = (
    b'\x08\x08\x12\x00:3\n\x0c\n\x01x\x12\x01y"\x04Relu\x12\x01pZ\x0f\n\x01x\x12\n\n\x08\x08\x01'
    b"\x12\x04\n\x02\x08\x01b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\x11"
)
"""About the smallest ONNX model, y = max(x, 0) of one number. ONNX Runtime also lists a provider
whose libraries are missing, or that has no kernels for this GPU: only running a model shows it."""
