"""Bundles that are damaged: by another file, or by another manifest."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime import BundleError
from runtime.seal import sealed

BRANCH = "onnx/fp32/branch_rgb.onnx"


def put(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def edit_manifest(root: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change what a manifest says as one does who knows how: its digest is right."""
    document = json.loads((root / "manifest.json").read_text())
    del document["digest"]
    edit(document)
    put(root / "manifest.json", sealed(document))


def put_listed(root: Path, path: str, content: bytes) -> None:
    """Replace a file, and what the manifest says about it."""
    put(root / path, content)

    def update(document: Any) -> None:
        if isinstance(document, dict):
            if document.get("path") == path:
                document.update(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
            for value in document.values():
                update(value)

    edit_manifest(root, update)


def assert_refused(action: Callable[[], object], *named: str) -> None:
    with pytest.raises(BundleError) as refusal:
        action()
    for name in named:
        assert name in str(refusal.value)


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=True, **arrays)
    return stream.getvalue()


def set_path(path: str) -> Callable[[dict[str, Any]], object]:
    return lambda d: d["engines"]["branch_rgb"]["files"]["fp32"].update(path=path)
