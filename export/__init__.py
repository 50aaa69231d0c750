"""From a DENet in PyTorch to a bundle of engines, and from its ONNX to TensorRT's.

The names below are loaded when they are first used: `export.tensorrt` works on machines that have
no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from export.bundle import ExportError, export_bundle

__all__ = ["ExportError", "export_bundle"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("export.bundle"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
