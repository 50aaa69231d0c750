"""How a process gets the driver that runs on the host: the tests, and the measurements of it."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from tests.fake.libcuda import build

PREPARED = "HOST_CUDA_LIBRARY"
"""Where a test finds a driver that was compiled already, such as one with AddressSanitizer."""


def why_not() -> str | None:
    """What is missing here to run on the host driver; None if nothing."""
    for package, module in (("PyCUDA", "pycuda"), ("cuda-python", "cuda.bindings")):
        try:
            found = importlib.util.find_spec(module)
        except ModuleNotFoundError:
            found = None
        if found is None:
            return f"{package} is not installed: see tests/fake/libcuda/install.py"
    return None if PREPARED in os.environ else build.why_not()


def find_library(folder: Path) -> Path:
    """The driver, compiled into `folder` if nobody has prepared one."""
    prepared = os.environ.get(PREPARED)
    return Path(prepared) if prepared else build.compile_driver(folder / "libcuda")
