"""Where the TensorRT engine of a detector is: beside those of a bundle, by what it was built of."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from runtime.bundle.forms import Form
from runtime.bundle.manifest import BUILT
from runtime.node.boxes.detector.letterbox import Size

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

    def has(self, content: bytes) -> bool:
        """Whether one of this ONNX file was built, for whatever machine and size."""
        pattern = f"*/{FORM}/{_name_of(digest_of(content))}-*.engine"
        return any((self.bundle / BUILT).glob(pattern))


def engine_name(content: bytes, size: Size) -> str:
    """What the engine of an ONNX file is called, for pictures of this size."""
    width, height = size
    return f"{_name_of(digest_of(content))}-{width}x{height}"


def digest_of(content: bytes) -> str:
    """Of an ONNX file, as an engine that was built of it knows it."""
    return hashlib.sha256(content).hexdigest()


def _name_of(digest: str) -> str:
    return f"detector-{digest[:12]}"
