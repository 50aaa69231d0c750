"""Where the TensorRT engine of a detector is: beside those of a bundle, by what it was built of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from runtime.bundle.forms import Form
from runtime.bundle.manifest import BUILT
from runtime.node.boxes.detector.letterbox import Size
from runtime.node.boxes.detector.model_file import ModelFile

FORM: Form = "fp32"
"""Where they lie; a network keeps the types that its ONNX file has."""


@dataclass(frozen=True)
class EngineHome:
    """Where engines of detectors may be.

    Attributes:
        bundle: beside whose engines they lie.
        key: file of public keys whose signatures are trusted; None for none.
    """

    bundle: Path
    key: Path | None = None

    def has(self, file: ModelFile) -> bool:
        """Whether one of this ONNX file was built, for whatever machine and size."""
        pattern = f"*/{FORM}/{_name_of(file)}-*.engine"
        return any((self.bundle / BUILT).glob(pattern))


def engine_name(file: ModelFile, size: Size) -> str:
    """What the engine of an ONNX file is called, for pictures of this size."""
    width, height = size
    return f"{_name_of(file)}-{width}x{height}"


def _name_of(file: ModelFile) -> str:
    return f"detector-{file.digest[:12]}"
