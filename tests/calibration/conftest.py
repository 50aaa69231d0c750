"""Fixtures of the tests of calibration."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from calibration import Outcome
from tests.calibration.outcomes import an_outcome
from tests.calibration.parts import contents
from tests.conftest import copied
from tests.light import bundle, bundle_path, checkpoint, model, outcome, runtime

# A network with few layers: here dozens of bundles are calibrated and projected.
__all__ = ["bundle", "bundle_path", "checkpoint", "model", "outcome", "runtime"]


@pytest.fixture
def rgb_and_tir(data: Path, tmp_path: Path) -> Path:
    root = Path(shutil.copytree(data, tmp_path / "poor", copy_function=os.link))
    shutil.rmtree(root / "train" / "NI")
    return root


@pytest.fixture
def table(outcome: Outcome) -> Path:
    """Ranges, for tests that have no need to measure them."""
    return outcome.bundle.root / "calibration.json"


@pytest.fixture
def untouched(bundle_path: Path, tmp_path: Path) -> Iterator[Path]:
    root = copied(bundle_path, tmp_path)
    before = contents(tmp_path)
    yield root
    assert {n: h for n, h in contents(tmp_path).items() if n in before} == before
    assert {p.name for p in tmp_path.iterdir() if p.name.startswith(".")} == set()


@pytest.fixture(scope="module")
def played() -> Outcome:
    return an_outcome()


@pytest.fixture(scope="module")
def unlabelled() -> Outcome:
    return an_outcome(labelled=False)
