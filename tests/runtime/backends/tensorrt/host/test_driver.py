"""The driver that runs on the host finds what a real one would suffer or refuse."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.fake.libcuda.driver import ILLEGAL_ADDRESS, NO_DEVICE, HostDriver

pytestmark = pytest.mark.cuda


@pytest.fixture
def cuda(clean: HostDriver) -> Iterator[Any]:
    """`pycuda.driver`, with a context."""
    import pycuda.driver

    context = pycuda.driver.Device(0).make_context()
    yield pycuda.driver
    pycuda.driver.Context.pop()
    context.detach()
    clean.violations()


@pytest.fixture
def graphs() -> Any:
    from cuda.bindings import driver

    return driver


def test_copies_are_late_and_streams_keep_their_order(cuda: Any, clean: HostDriver) -> None:
    clean.delays(4, 2000)
    stream, memory = cuda.Stream(1), cuda.mem_alloc(400)
    up, down = cuda.pagelocked_empty(100, np.float32), cuda.pagelocked_empty(100, np.float32)
    for turn in range(20):
        up[:], down[:] = turn, -1
        cuda.memcpy_htod_async(int(memory), up, stream)
        cuda.memcpy_dtoh_async(down, int(memory), stream)
        stream.synchronize()
        assert (down == turn).all()


def test_new_memory_is_no_number(cuda: Any, clean: HostDriver) -> None:
    memory, host = cuda.mem_alloc(400), np.zeros(100, np.float32)
    cuda.memcpy_dtoh(host, int(memory))
    assert np.isnan(host).all()


@pytest.mark.parametrize("offset", [-4, 4, 400, 800])
def test_out_of_bounds_is_refused_and_told(cuda: Any, clean: HostDriver, offset: int) -> None:
    memory, host = cuda.mem_alloc(400), np.zeros(100, np.float32)
    with pytest.raises(cuda.LogicError, match="invalid value"):
        cuda.memcpy_htod(int(memory) + offset, host)
    assert "out of bounds when a copy was queued: 400 bytes" in clean.violations()[0]


def test_use_after_free_is_refused_and_told(cuda: Any, clean: HostDriver) -> None:
    memory, host = cuda.mem_alloc(400), np.zeros(100, np.float32)
    address = int(memory)
    del memory
    with pytest.raises(cuda.LogicError, match="invalid value"):
        cuda.memcpy_htod(address, host)
    assert "use after free when a copy was queued" in clean.violations()[0]


def test_memory_that_is_freed_too_early_breaks_the_context(cuda: Any, clean: HostDriver) -> None:
    clean.delays(1, 3000)
    stream, memory = cuda.Stream(1), cuda.mem_alloc(400)
    host = cuda.pagelocked_empty(100, np.float32)
    gate = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: opened.wait())
    import threading

    opened = threading.Event()
    launch = clean.library.cuLaunchHostFunc
    launch.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    assert launch(stream.handle, gate, None) == 0
    cuda.memcpy_htod_async(int(memory), host, stream)
    del memory
    opened.set()
    with pytest.raises(cuda.Error, match="illegal address"):
        stream.synchronize()
    told = clean.violations()
    assert "was freed before what was queued has used it" in told[0]
    assert "use after free when it ran" in told[1]


def test_a_write_beside_a_block_is_told(cuda: Any, clean: HostDriver) -> None:
    memory = cuda.mem_alloc(400)
    ctypes.memset(int(memory) + 400, 0, 1)
    del memory
    assert set(clean.violations()) == {"something wrote outside of a block of 400 bytes, at 400"}
    memory = cuda.mem_alloc(400)
    address = int(memory)
    del memory
    ctypes.memset(address + 7, 0, 1)
    told = clean.violations()
    assert told == ["something wrote to a block of 400 bytes after it was freed"]


def test_events_order_streams(cuda: Any, clean: HostDriver) -> None:
    for seed in range(40):
        clean.delays(seed, 2000)
        first, second, event = cuda.Stream(1), cuda.Stream(1), cuda.Event(2)
        memory, down = cuda.mem_alloc(4), cuda.pagelocked_empty(1, np.float32)
        up = cuda.pagelocked_empty(1, np.float32)
        up[:] = seed
        cuda.memcpy_htod_async(int(memory), up, first)
        event.record(first)
        second.wait_for_event(event)
        cuda.memcpy_dtoh_async(down, int(memory), second)
        second.synchronize()
        assert down[0] == seed


def test_captures_follow_the_rules(cuda: Any, graphs: Any, clean: HostDriver) -> None:
    mode = graphs.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
    first, second, event = cuda.Stream(1), cuda.Stream(1), cuda.Event(2)
    memory, host = cuda.mem_alloc(4), cuda.pagelocked_empty(1, np.float32)

    def begin() -> None:
        assert int(graphs.cuStreamBeginCapture(first.handle, mode)[0]) == 0

    def end() -> int:
        return int(graphs.cuStreamEndCapture(first.handle)[0])

    begin()
    with pytest.raises(cuda.Error, match="stream capture unsupported"):
        first.synchronize()
    assert end() == 901  # it was spoilt by that
    begin()
    with pytest.raises(cuda.Error, match="stream capture unsupported"):
        cuda.mem_alloc(4)
    assert end() == 901
    begin()
    event.record(first)
    second.wait_for_event(event)
    cuda.memcpy_htod_async(int(memory), host, second)
    assert end() == 904  # nobody waits for the second stream
    begin()
    event.record(second)
    with pytest.raises(cuda.Error, match="stream capture isolation"):
        first.wait_for_event(event)
    assert end() == 901
    assert end() == 401  # nothing is captured any more


def test_a_context_must_be_current(clean: HostDriver) -> None:
    address = ctypes.c_uint64()
    assert clean.library.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(4)) == 201
    assert clean.library.cuCtxPopCurrent_v2(None) == 201


def test_errors_come_when_they_are_asked_for(cuda: Any, clean: HostDriver) -> None:
    """Of memory PyCUDA collects its garbage first, and asks again."""
    clean.fail("cuMemAlloc_v2", 3, 2)
    kept = [cuda.mem_alloc(4) for _ in range(4)]
    clean.fail("cuMemAlloc_v2", 1, 2, lasting=True)
    with pytest.raises(cuda.MemoryError):
        cuda.mem_alloc(4)
    clean.mend()
    kept.append(cuda.mem_alloc(4))
    clean.fail("cuEventCreate", 1, ILLEGAL_ADDRESS)
    for make in (lambda: cuda.Event(2), lambda: cuda.mem_alloc(4)):
        with pytest.raises(cuda.Error, match="illegal address"):
            make()
    clean.lose(NO_DEVICE)
    with pytest.raises(cuda.Error, match="no device"):
        cuda.Device(0)
    clean.mend()


def test_what_is_not_here_says_so(clean: HostDriver) -> None:
    """All names of the header are, so that PyCUDA's extension can be loaded."""
    assert clean.library.cuModuleLoadData(None, None) == 801
    assert clean.library.cuLaunchKernel() == 801
    assert clean.library.cuTexRefCreate(None) == 801
