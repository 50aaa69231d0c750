"""Devices that fail: the next batch is right, or the device is said to be lost."""

from __future__ import annotations

import pytest

from denet.graph import RGB_NIR_TIR
from runtime import BackendError, Runtime
from runtime.backends.base import DeviceLostError
from runtime.backends.tensorrt.device import DeviceError
from runtime.composer import Composer
from tests.runtime.backends.tensorrt.machines import Machine, composer_of, inputs, same
from tests.runtime.backends.tensorrt.queued import races

COMPLETE = RGB_NIR_TIR.complete


@pytest.mark.parametrize("turn", [0, 1, 2], ids=["queued", "captured", "replayed"])
def test_after_any_error_the_next_batch_is_right(
    machine: Machine, runtime: Runtime, turn: int
) -> None:
    """The device fails at each of its calls in turn."""
    state = [RGB_NIR_TIR.parse("rgb+tir")]
    calls = 0
    failed = True
    while failed:
        composer = composer_of(machine)
        for _ in range(turn):
            composer.run_tensors(inputs(state))
        left = calls

        def fail(what: str) -> None:
            nonlocal left
            left -= 1
            if left == -1:
                raise DeviceError(f"CUDA: {what} failed")

        machine.device.fail = fail
        try:
            composer.run_tensors(inputs(state))
            failed = left < 0  # a capture that failed is no error
        except DeviceLostError:
            pytest.fail("the device works")
        except BackendError:
            pass
        machine.device.fail = lambda what: None
        for seed in range(3):
            samples = inputs(state, seed=seed)
            same(composer.run_tensors(samples), runtime, samples)
        assert not machine.device.complaints
        assert not races(machine.device.ops)
        composer.close()
        calls += 3  # every third: they are alike, and there are many
    assert calls > (3 if turn == 2 else 30)


@pytest.mark.parametrize("turn", [0, 1, 2], ids=["queued", "captured", "replayed"])
def test_a_lost_device_is_opened_again(
    machine: Machine, runtime: Runtime, composer: Composer, turn: int
) -> None:
    for _ in range(turn):
        composer.run_tensors(inputs([COMPLETE]))
    lost = machine.device

    def fail(what: str) -> None:
        if what == "synchronize":
            lost.dead = True
            raise DeviceError("CUDA: an illegal memory access was encountered")

    lost.fail = fail
    with pytest.raises(DeviceLostError, match=r"illegal memory.*set up again.*is lost"):
        composer.run_tensors(inputs([COMPLETE]))
    assert lost.closed
    for seed in range(3):
        samples = inputs([COMPLETE], seed=seed)
        same(composer.run_tensors(samples), runtime, samples)
    assert machine.devices == [lost, machine.device]
    assert machine.device.launched == 1
    assert not machine.device.complaints


@pytest.mark.parametrize("where", ["allocate", "pinned", "load", "event"])
def test_a_device_lost_while_a_program_is_made_is_opened_again(
    machine: Machine, runtime: Runtime, composer: Composer, where: str
) -> None:
    composer.run_tensors(inputs([RGB_NIR_TIR.parse("rgb")]))
    lost = machine.device

    def fail(what: str) -> None:
        if what == where:
            lost.dead = True
            raise DeviceError("CUDA: an illegal memory access was encountered")

    lost.fail = fail
    with pytest.raises(DeviceLostError, match="set up again"):
        composer.run_tensors(inputs([COMPLETE]))
    samples = inputs([COMPLETE])
    same(composer.run_tensors(samples), runtime, samples)
    assert not machine.device.complaints


def test_a_device_that_cannot_be_opened_again_is_said_to_be_lost(
    machine: Machine, composer: Composer
) -> None:
    composer.run_tensors(inputs([COMPLETE]))
    machine.device.dead = True
    machine.refuse = "CUDA: no device"
    for _ in range(2):
        with pytest.raises(DeviceLostError, match=r"illegal memory.*restart"):
            composer.run_tensors(inputs([COMPLETE]))
    composer.close()
    assert len(machine.devices) == 1


def test_an_error_while_tables_grow_leaves_the_old_ones_usable(
    machine: Machine, composer: Composer, runtime: Runtime
) -> None:
    composer.run_tensors(inputs([COMPLETE]))

    def full(what: str) -> None:
        if what == "allocate":
            raise DeviceError("CUDA: out of device memory")

    machine.device.fail = full
    with pytest.raises(BackendError, match="out of device memory"):
        composer.run_tensors(inputs([COMPLETE] * 4))
    machine.device.fail = lambda what: None
    samples = inputs([COMPLETE])
    same(composer.run_tensors(samples), runtime, samples)
    assert not machine.device.complaints


def test_closing_a_broken_device_is_no_error(composer: Composer, machine: Machine) -> None:
    composer.run_tensors(inputs([COMPLETE]))
    machine.device.dead = True
    machine.refuse = "CUDA: no device"
    composer.close()
