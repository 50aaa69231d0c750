"""From a DENet in PyTorch to a bundle of engines, and from its ONNX to TensorRT's.

The names below are loaded when they are first used: `export.tensorrt` works on machines that have
no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from denet.lazy import lazy

if TYPE_CHECKING:
    from export.bundle import ExportError, export_bundle

__all__ = ["ExportError", "export_bundle"]

__getattr__ = lazy(
    __name__,
    {
        "ExportError": "export.bundle",
        "export_bundle": "export.bundle",
    },
)
