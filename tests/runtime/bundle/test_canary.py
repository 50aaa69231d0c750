"""A canary that is none is refused, whatever the manifest lists."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime import Runtime
from tests.runtime.bundle.damage import assert_refused, npz, put_listed


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not an archive",
        b"PK\x03\x04 and nothing behind it",
        npz(image_rgb=np.zeros((1, 4, 4, 3), np.uint8)),
        npz(image_rgb=np.array([{"pickled": "object"}])),
    ],
    ids=["empty", "text", "torn-archive", "incomplete", "pickle"],
)
def test_a_canary_that_is_none_is_refused_though_the_manifest_lists_it(
    copied: Path, content: bytes
) -> None:
    put_listed(copied, "canary.npz", content)
    assert_refused(lambda: Runtime.load(copied, "ort-cpu", check=True), "canary.npz")


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: {k: v[:0] for k, v in arrays.items()},
        lambda arrays: {k: v[:1] if k == "image_rgb" else v for k, v in arrays.items()},
        lambda arrays: {k: v[:, 1:] if k.startswith("emb") else v for k, v in arrays.items()},
        lambda arrays: {k: v[0] for k, v in arrays.items()},
        lambda arrays: {k: v[:, :0] if k.startswith("image") else v for k, v in arrays.items()},
        lambda arrays: {k: v.astype(np.float64) for k, v in arrays.items()},
        lambda arrays: {k: v * np.nan if k.startswith("emb") else v for k, v in arrays.items()},
        lambda arrays: {k: v * 0 if k.startswith("emb") else v for k, v in arrays.items()},
        lambda arrays: {k: v * 1.01 if k.startswith("emb") else v for k, v in arrays.items()},
    ],
    ids=[
        "no-samples",
        "too-few-images",
        "other-dimension",
        "no-batch-axis",
        "no-pixels",
        "other-types",
        "nan",
        "zero",
        "other-norm",
    ],
)
def test_a_canary_of_other_values_is_refused(
    copied: Path, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    with np.load(copied / "canary.npz") as stored:
        arrays = {name: stored[name] for name in stored.files}
    put_listed(copied, "canary.npz", npz(**change(arrays)))
    assert_refused(lambda: Runtime.load(copied, "ort-cpu", check=True), "canary.npz")
