"""The canary: a runtime that gives other embeddings than PyTorch is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from denet.graph import RGB_NIR_TIR
from runtime import Bundle, CanaryError, Runtime
from tests.runtime.bundle.damage import edit_manifest, npz, put_listed

ENGINES = RGB_NIR_TIR.engines
STATES = RGB_NIR_TIR.states


def test_the_canary_sings(runtime: Runtime) -> None:
    report = runtime.check()
    assert report.failed == []
    assert set(report.cosines) == {state.name for state in STATES}
    assert all(0.99999 <= value <= 1.000001 for value in report.cosines.values())


def turned(vector: NDArray[np.float32], cosine: float) -> NDArray[np.float32]:
    """A vector of the same length at an angle of this cosine to `vector`."""
    aside = np.random.default_rng(0).normal(size=vector.shape)
    aside -= vector * (aside @ vector) / (vector @ vector)
    aside *= np.linalg.norm(vector) / np.linalg.norm(aside)
    return (cosine * vector + np.sqrt(1 - cosine**2) * aside).astype(np.float32)


@pytest.mark.parametrize(
    "damage",
    [
        lambda v: v[::-1],
        lambda v: turned(v, 0.99985),  # beyond the limit of 0.9999, but the mean is not
    ],
    ids=["reversed", "turned"],
)
def test_a_state_with_wrong_embeddings_is_refused_by_name(
    copied: Path, damage: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> None:
    with np.load(copied / "canary.npz") as stored:
        arrays = {name: stored[name] for name in stored.files}
    # Only one of the two samples.
    arrays["embedding_nir+tir"][1] = damage(arrays["embedding_nir+tir"][1])
    put_listed(copied, "canary.npz", npz(**arrays))
    Runtime.load(copied, "ort-cpu").close()
    with pytest.raises(CanaryError) as refusal:
        Runtime.load(copied, "ort-cpu", check=True)
    message = str(refusal.value)
    assert str(copied) in message
    assert "nir+tir (cosine" in message
    assert message.count("(cosine") == 1


@pytest.mark.parametrize("kind", ["branch", "cmft", "dem"])
def test_engines_in_each_others_place_are_found_by_the_canary(copied: Path, kind: str) -> None:
    """Though each says that it is the other: else it is refused before it is run."""
    one, other = [name for name in ENGINES if name.startswith(kind)][:2]
    models = {name: onnx.load(copied / f"onnx/fp32/{name}.onnx") for name in (one, other)}
    for name, instead in ((one, other), (other, one)):
        models[instead].graph.name = name
        put_listed(copied, f"onnx/fp32/{name}.onnx", models[instead].SerializeToString())
    Bundle.open(copied).verify()
    with pytest.raises(CanaryError):
        Runtime.load(copied, "ort-cpu", check=True)


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p["modalities"]["rgb"].update(mean=[0.5, 0.5, 0.5]),
        lambda p: p["modalities"]["tir"].update(std=[0.1, 0.1, 0.1]),
    ],
    ids=["mean", "std"],
)
def test_other_preprocessing_is_found_by_the_canary(
    copied: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    edit_manifest(copied, lambda document: change(document["preprocessing"]))
    with pytest.raises(CanaryError):
        Runtime.load(copied, "ort-cpu", check=True)
