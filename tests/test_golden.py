"""No command puts out what a bundle makes that does not make what it should here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from runtime import BackendError, Runtime
from tests.command import denet, refused
from tests.conftest import copied
from tests.paths import SAMPLES
from tests.runtime.bundle.damage import edit_manifest

Arguments = Callable[[Path, Path, Path], Sequence[object]]


@pytest.fixture
def wrong(bundle_path: Path, tmp_path: Path) -> Path:
    """A bundle whose digests are right, and whose thermal images are prepared in another way."""
    root = copied(bundle_path, tmp_path)
    edit_manifest(
        root, lambda d: d["preprocessing"]["modalities"]["tir"].update(mean=[0.9, 0.1, 0.5])
    )
    return root


COMMANDS: dict[str, Arguments] = {
    "embed": lambda root, _, made: ("embed", root, SAMPLES, "--out", made / "x.npz"),
    "embed-check": lambda root, _, made: ("embed", root, SAMPLES, "--check"),
    "eval": lambda root, data, _: ("eval", root, data),
    "enrol": lambda root, _, made: (
        *("gallery", "enrol", made / "x.db", SAMPLES, "--bundle", root),
    ),
    "scores": lambda root, data, made: (
        *("gallery", "calibrate", root, data, "--out", made / "x.json"),
    ),
    "verify": lambda root, *_: ("verify", root),
    "bench": lambda root, *_: ("bench", "run", root, "--backend", "ort-cpu", "--only", "states"),
    "calibrate": lambda root, data, _: ("calibrate", root, data),
    "project": lambda root, data, _: ("project", root, data, "--dim", 24),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_bundle_that_gives_wrong_embeddings_gives_none(
    name: str, wrong: Path, data: Path, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    made.mkdir()
    before = (wrong / "manifest.json").read_bytes()
    refused(denet(*COMMANDS[name](wrong, data, made)), str(wrong), "golden inputs", "tir")
    assert (wrong / "manifest.json").read_bytes() == before
    assert not [path for path in made.iterdir() if path.suffix != ".db"]


def test_states_that_are_not_used_are_not_asked(wrong: Path, tmp_path: Path) -> None:
    """Only what takes thermal images is wrong."""
    out = tmp_path / "x.npz"
    assert denet("embed", wrong, SAMPLES, "--state", "rgb+nir", "--out", out).exit_code == 0
    assert np.isfinite(np.load(out)["embeddings"]).all()


def test_values_that_are_no_numbers_are_not_put_out(bundle_path: Path) -> None:
    with Runtime.load(bundle_path, "ort-cpu") as loaded:
        parts = loaded.parts([{"rgb": np.zeros((64, 32, 3), np.uint8)}])
        parts[0, 0, 0] = np.nan
        with pytest.raises(BackendError, match="no numbers"):
            loaded.head(parts)
