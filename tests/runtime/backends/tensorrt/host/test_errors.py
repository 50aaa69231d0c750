"""Errors of the driver at every call, a device that is lost, and contexts that are others'."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import numpy as np
import pytest

from denet.graph import RGB_NIR_TIR
from runtime import BackendError, Runtime
from runtime.backends.base import DeviceLostError
from tests.fake.libcuda.driver import LAUNCH_FAILED, OUT_OF_MEMORY, UNKNOWN, HostDriver
from tests.runtime.backends.tensorrt.host.test_states import check
from tests.runtime.backends.tensorrt.machines import inputs

COMPLETE = RGB_NIR_TIR.complete
STATE = [RGB_NIR_TIR.parse("rgb+tir")]

pytestmark = pytest.mark.cuda


@pytest.mark.parametrize("code", [OUT_OF_MEMORY, LAUNCH_FAILED], ids=["passing", "sticky"])
@pytest.mark.parametrize("turn", [0, 1, 2], ids=["queued", "captured", "replayed"])
def test_after_an_error_at_any_call_the_next_batch_is_right(
    clean: HostDriver, built: Path, runtime: Runtime, turn: int, code: int
) -> None:
    failed, nth = 0, 0
    with Runtime.load(built, "tensorrt", "fp32") as mine:
        while True:
            nth += 1
            mine.composer._forget()
            for _ in range(turn):
                mine.composer.run_tensors(inputs(STATE))
            calls = sum(clean.calls().values())
            clean.fail("*", nth, code)
            try:
                check(mine, runtime, inputs(STATE, seed=nth))
            except BackendError as error:
                assert str(error).startswith(("CUDA: ", "TensorRT: "))
                assert ("is lost" in str(error)) is isinstance(error, DeviceLostError)
                failed += 1
            calls = sum(clean.calls().values()) - calls
            clean.mend()
            check(mine, runtime, inputs(STATE, seed=-nth % 1000))
            assert clean.violations() == [], nth
            if calls < nth:
                break
    assert failed > 3
