"""A process in which `libcuda.so.1` is the driver that runs on the host, PyCUDA and cuda-python are
real, and `tensorrt` is played (`tests/fake`)."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from denet.graph import RGB_NIR_TIR
from export.tensorrt.build import build_engines
from runtime import Bundle
from runtime.backends.tensorrt.machine import BuildOptions
from tests.conftest import copied
from tests.fake.libcuda.driver import HostDriver
from tests.light import bundle, bundle_path, checkpoint, model, outcome, runtime
from tests.paths import FAKE
from tests.runtime.backends.tensorrt.host.start import find_library, why_not

__all__ = ["bundle", "bundle_path", "checkpoint", "model", "outcome", "runtime"]

ENGINES = RGB_NIR_TIR.engines


@pytest.fixture(scope="session")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostDriver]:
    """The driver, for the whole process; nothing can take it out again."""
    if missing := why_not():
        pytest.skip(missing)
    driver = HostDriver(find_library(tmp_path_factory.getbasetemp()))
    sys.path.insert(0, str(FAKE))
    for name in [name for name in sys.modules if name.partition(".")[0] == "tensorrt"]:
        del sys.modules[name]
    importlib.import_module("pycuda.driver").init()
    yield driver
    sys.path.remove(str(FAKE))


@pytest.fixture
def driver(loaded: HostDriver) -> Iterator[HostDriver]:
    """The driver, well; and after the test nobody has done what must not be done."""
    loaded.mend()
    loaded.delays(0, 0)
    loaded.violations()
    yield loaded
    loaded.mend()
    loaded.delays(0, 0)
    gc.collect()
    assert loaded.violations() == []


@pytest.fixture(scope="session")
def built(loaded: HostDriver, bundle_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with engines for this machine, to read."""
    root = copied(bundle_path, tmp_path_factory.mktemp("host"))
    made = build_engines(Bundle.open(root), "fp32", BuildOptions())
    assert made.unchecked is None
    assert set(made.engines) == set(ENGINES)
    return root


@pytest.fixture
def clean(driver: HostDriver) -> Iterator[HostDriver]:
    """As `driver`; and nothing is left on the device that was not there before."""
    gc.collect()
    before = driver.live()
    yield driver
    gc.collect()
    assert driver.live() == before
