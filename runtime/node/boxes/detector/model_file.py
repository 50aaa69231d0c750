"""A detector's ONNX file, read once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from denet.reading import read_file
from runtime.bundle.self_contained import check_self_contained
from runtime.node.errors import NodeError

MOST_BYTES = 1 << 30
"""Of a model file: ten times the largest detectors that a node would run."""


@dataclass(frozen=True)
class ModelFile:
    """An ONNX file that needs no other.

    Attributes:
        path: of it.
        content: of it.
    """

    path: Path
    content: bytes

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of its content, by which an engine knows what it was built of."""
        return hashlib.sha256(self.content).hexdigest()


def read_model(path: Path) -> ModelFile:
    """The file of a detector.

    Raises:
        NodeError: it cannot be read, or names other files.
    """
    content = read_file(path, NodeError, MOST_BYTES)
    check_self_contained(content, path, NodeError)
    return ModelFile(path, content)
