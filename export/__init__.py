"""From a DENet in PyTorch to a bundle of 15 engines."""

from __future__ import annotations

from export.bundle import ExportError, export_bundle

__all__ = ["ExportError", "export_bundle"]
