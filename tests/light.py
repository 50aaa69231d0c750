"""Fixtures of the network with few layers, in the place of those of the same names in
`tests/conftest.py`: for tests that make dozens of bundles, or to which its size is no matter.

A `conftest.py` imports them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from calibration import Outcome
from denet.checkpoint import load_checkpoint
from denet.model import DENet
from runtime import Bundle, Runtime
from tests.conftest import LIGHT, bundle_once, calibrated_once, checkpoint_once


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint_once(tmp_path_factory, "light", LIGHT)


@pytest.fixture(scope="session")
def model(checkpoint: Path) -> DENet:
    return load_checkpoint(checkpoint)


@pytest.fixture(scope="session")
def bundle_path(model: DENet, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle_once(tmp_path_factory, model, checkpoint)


@pytest.fixture(scope="session")
def bundle(bundle_path: Path) -> Bundle:
    return Bundle.open(bundle_path)


@pytest.fixture(scope="session")
def runtime(bundle: Bundle) -> Runtime:
    return Runtime.load(bundle, "ort-cpu")


@pytest.fixture(scope="session")
def outcome(bundle_path: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return calibrated_once(tmp_path_factory, "light-calibrated", bundle_path, data)
