"""Errors of the driver at every call, a device that is lost, and contexts that are others'."""

from __future__ import annotations

import ctypes
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


def attempt(mine: Runtime, reference: Runtime, seed: int) -> str | None:
    """The error that a batch ends with; None if it is right."""
    told, lost = None, False
    try:
        check(mine, reference, inputs(STATE, seed=seed))
    except BackendError as error:
        told, lost = str(error), isinstance(error, DeviceLostError)
    assert told is None or told.startswith(("CUDA: ", "TensorRT: "))
    assert ("is lost" in (told or "")) is lost
    return told


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
            told = attempt(mine, runtime, nth)
            calls = sum(clean.calls().values()) - calls
            if told is None and calls >= nth:  # what fails to be freed breaks the next batch
                told = attempt(mine, runtime, nth)
            failed += told is not None
            clean.mend()
            check(mine, runtime, inputs(STATE, seed=-nth % 1000))
            assert clean.violations() == [], nth
            if calls < nth:
                break
    assert failed > 3


def test_work_that_fails_while_it_runs_is_a_lost_device(
    clean: HostDriver, built: Path, runtime: Runtime, capfd: pytest.CaptureFixture[str]
) -> None:
    with Runtime.load(built, "tensorrt", "fp32") as mine:
        for turn in range(3):  # queued, captured, replayed
            mine.composer._forget()
            for _ in range(turn):
                check(mine, runtime, inputs(STATE))
            for nth in (1, 4, 9):
                clean.fail("work", nth, LAUNCH_FAILED)
                with pytest.raises(DeviceLostError, match=r"the GPU was set up again"):
                    mine.composer.run_tensors(inputs(STATE))
                check(mine, runtime, inputs(STATE, seed=nth))
    assert "PyCUDA WARNING" not in capfd.readouterr().err


@pytest.mark.parametrize("context", ["own", "primary"])
@pytest.mark.parametrize("nth", [1, 2, 7, 30, 50])
def test_a_device_that_is_gone_is_told_and_closing_is_no_error(
    driver: HostDriver, built: Path, runtime: Runtime, context: str, nth: int
) -> None:
    mine = Runtime.load(built, "tensorrt", "fp32", cuda_context=context)
    check(mine, runtime, inputs([COMPLETE]))
    driver.fail("*", nth, UNKNOWN, lasting=True)
    for _ in range(2):
        with pytest.raises(DeviceLostError, match="can no longer be used by this process"):
            mine.composer.run_tensors(inputs([COMPLETE]))
    mine.close()
    assert driver.violations() == []
    del mine
    gc.collect()
    driver.reset()
    with Runtime.load(built, "tensorrt", "fp32", cuda_context=context) as other:
        check(other, runtime, inputs([COMPLETE]))
    assert driver.live() == {}


def test_any_thread_may_close(clean: HostDriver, built: Path, runtime: Runtime) -> None:
    for context in ("own", "primary"):
        mine = Runtime.load(built, "tensorrt", "fp32", cuda_context=context)
        check(mine, runtime, inputs([COMPLETE]))
        thread = threading.Thread(target=mine.close)
        thread.start()
        thread.join()
        del mine
        gc.collect()
        assert "context" not in clean.live(), context


def test_a_primary_context_is_shared_and_not_left_current(
    clean: HostDriver, built: Path, runtime: Runtime
) -> None:
    """As PyTorch has it: retained and current by the driver's own functions."""
    driver = clean.library
    theirs, current, device = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_int(0)
    assert driver.cuDevicePrimaryCtxRetain(ctypes.byref(theirs), device) == 0
    assert driver.cuCtxPushCurrent_v2(theirs) == 0
    address = ctypes.c_uint64()
    assert driver.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(64)) == 0
    for turn in range(2):
        with Runtime.load(built, "tensorrt", "fp32", cuda_context="primary") as mine:
            check(mine, runtime, inputs([COMPLETE], seed=turn))
        gc.collect()
        assert driver.cuCtxGetCurrent(ctypes.byref(current)) == 0
        assert current.value == theirs.value
        assert clean.live() == {"context": 1, "stream": 1, "memory": 1}
    assert driver.cuMemFree_v2(address) == 0
    assert driver.cuCtxPopCurrent_v2(ctypes.byref(current)) == 0
    assert driver.cuDevicePrimaryCtxRelease_v2(device) == 0
    assert driver.cuCtxGetCurrent(ctypes.byref(current)) == 0
    assert current.value is None


def test_an_applications_context_is_left_as_it_was(
    clean: HostDriver, built: Path, runtime: Runtime
) -> None:
    import pycuda.driver as cuda

    theirs = cuda.Device(0).make_context()
    kept = cuda.mem_alloc(64)
    with Runtime.load(built, "tensorrt", "fp32", cuda_context=theirs) as mine:
        check(mine, runtime, inputs([COMPLETE]))
        other = Runtime.load(built, "tensorrt", "fp32", cuda_context="primary")
        check(other, runtime, inputs([COMPLETE], seed=1))
        other.close()
        assert cuda.Context.get_current() == theirs
    del mine, other
    gc.collect()
    assert clean.live() == {"context": 1, "stream": 1, "memory": 1}
    del kept
    cuda.Context.pop()
    theirs.detach()
    assert "context" not in clean.live()


def test_memory_is_given_back(clean: HostDriver, built: Path, runtime: Runtime) -> None:
    """Over hundreds of batches, more mixes than are kept: no more is held than in the middle."""
    random = np.random.default_rng(3)
    states = RGB_NIR_TIR.states
    held = []
    with Runtime.load(built, "tensorrt", "fp32", preload=True) as mine:
        mine.composer.run_tensors(inputs([COMPLETE] * 8))
        for batch in range(400):
            count = random.integers(1, 9)
            mixed = [states[i] for i in random.integers(0, 7, count)]
            for _ in range(2 if batch % 5 == 0 else 1):
                mine.composer.run_tensors(inputs(mixed, seed=batch % 3))
            if batch in (200, 399):
                gc.collect()
                check(mine, runtime, inputs(mixed))
                held.append((clean.live(), mine.composer.backend.device_memory()))
        assert held[0][1] == held[1][1]
        for kind in ("memory", "pinned", "stream"):
            assert held[0][0][kind] == held[1][0][kind]
        assert held[1][0]["exec"] <= 32
