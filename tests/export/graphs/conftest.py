"""The smaller network: a graph of each state is made of it in a moment, and what is looked at does
not depend on its size."""

from __future__ import annotations

from pathlib import Path

import pytest

from calibration import Outcome
from denet.checkpoint import load_checkpoint
from runtime import Bundle, Runtime
from tests.conftest import LIGHT, bundle_once, calibrated_once, checkpoint_once


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint_once(tmp_path_factory, "light", LIGHT)


@pytest.fixture(scope="session")
def bundle_path(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle_once(tmp_path_factory, load_checkpoint(checkpoint), checkpoint)


@pytest.fixture(scope="session")
def bundle(bundle_path: Path) -> Bundle:
    return Bundle.open(bundle_path)


@pytest.fixture(scope="session")
def runtime(bundle: Bundle) -> Runtime:
    return Runtime.load(bundle, "ort-cpu")


@pytest.fixture(scope="session")
def outcome(bundle_path: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return calibrated_once(tmp_path_factory, "light-calibrated", bundle_path, data)
