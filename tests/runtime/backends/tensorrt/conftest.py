"""A machine with built engines, and a composer on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from denet.graph import RGB_NIR_TIR
from runtime import Bundle
from runtime.backends.tensorrt.machine import BuildOptions
from runtime.composer import Composer
from tests.conftest import copied
from tests.runtime.backends.tensorrt.machines import Machine, composer_of, write_engines

ENGINES = RGB_NIR_TIR.engines


@pytest.fixture
def root(bundle_path: Path, tmp_path: Path) -> Path:
    return copied(bundle_path, tmp_path)


@pytest.fixture
def machine(root: Path) -> Machine:
    bundle = Bundle.open(root)
    write_engines(bundle, dict.fromkeys(ENGINES, "fp32"), BuildOptions())
    return Machine(bundle)


@pytest.fixture
def composer(machine: Machine) -> Composer:
    return composer_of(machine)
