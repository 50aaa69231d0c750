"""The calls that the backend makes are those of the table in docs/gpu.md."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from denet.graph import RGB_NIR_TIR
from runtime import Runtime
from tests.fake.libcuda.driver import HostDriver
from tests.runtime.backends.tensorrt.machines import MIXED, inputs
from tests.runtime.backends.tensorrt.test_calls import table

COMPLETE = RGB_NIR_TIR.complete

pytestmark = pytest.mark.cuda

PLAYED = {"cuStreamIsCapturing", "cuCtxGetCurrent", "cuGetProcAddress_v2", "cuCtxGetDevice"}
"""Calls of the TensorRT that is played, and how cuda-python finds the others."""


def test_the_table_has_every_call_of_the_driver(
    driver: HostDriver, built: Path, runtime: Runtime
) -> None:
    before = driver.calls()
    for context in ("own", "primary"):
        with Runtime.load(built, "tensorrt", "fp32", cuda_context=context) as mine:
            for states in ([COMPLETE], MIXED):
                for _ in range(3):
                    mine.composer.run_tensors(inputs(states))
            mine.composer.trace([COMPLETE], lambda i, m, out: np.copyto(out, 0.5))
            assert mine.composer.backend.device_memory()
            driver.fail("cuGraphLaunch", 1, 1)
            with pytest.raises(Exception, match="cuGraphLaunch"):
                mine.composer.run_tensors(inputs(MIXED))
    made = {name for name, count in driver.calls().items() if count > before.get(name, 0)}
    made = {name for name in made if name.startswith("cu")} - PLAYED
    assert made == set(table("CUDA driver"))
