"""Streams that are late and slow: no seed finds a race, and with any wait left out one does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import runtime.backends.tensorrt.streams as streams
from denet.graph import RGB_NIR_TIR
from runtime import Runtime
from runtime.backends.tensorrt.schedule import Placed, Schedule, Work, schedule
from tests.fake.libcuda.driver import HostDriver
from tests.runtime.backends.tensorrt.host.seeds import differs, run_seeds
from tests.runtime.backends.tensorrt.machines import inputs

STATES = RGB_NIR_TIR.states
PAIR = [STATES[1], STATES[6]]

pytestmark = pytest.mark.cuda

TRIES = 200
"""Seeds, of which one must find a wait that is left out: it takes a few."""


@contextmanager
def without(number: int, kept: list[Schedule]) -> Iterator[None]:
    """Schedules in which one wait is left out: of the works in their order, then of the joins."""

    def other(works: Sequence[Work], lanes: int) -> Schedule:
        found = schedule(works, lanes)
        kept.append(found)
        waits = [(i, w) for i, at in enumerate(found.placed) for w in at.waits]
        if number < len(waits):
            missing, event = waits[number]
            placed = list(found.placed)
            at = placed[missing]
            placed[missing] = Placed(at.lane, tuple(w for w in at.waits if w != event))
            return Schedule(found.lanes, tuple(placed), found.signals, found.joins)
        joins = list(found.joins)
        del joins[number - len(waits)]
        return Schedule(found.lanes, found.placed, found.signals, tuple(joins))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "schedule", other)
        yield


def waits_of(found: Schedule) -> int:
    return sum(len(at.waits) for at in found.placed) + len(found.joins)


def test_each_wait_is_missed(driver: HostDriver, built: Path, runtime: Runtime) -> None:
    number, total = 0, 1
    while number < total:
        kept: list[Schedule] = []
        with without(number, kept), Runtime.load(built, "tensorrt", "fp32") as mine:
            device = mine.composer.backend.device  # type: ignore[attr-defined]
            device.captures = False
            found = False
            for seed in range(TRIES):
                driver.delays(seed, 3000)
                samples = inputs(PAIR, seed=seed)
                if differs(mine, runtime, samples):
                    found = True
                    break
            total = waits_of(kept[-1])
            assert found, f"wait {number} of {total} is not missed"
        driver.violations()  # such as an execution context that runs twice at once
        number += 1
    assert total > 5


def test_the_beginning_is_waited_for(
    driver: HostDriver, built: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first lane's event, from which all others start: a captured program has no other way to
    take them in, and a queued one follows what was queued before it."""
    with Runtime.load(built, "tensorrt", "fp32") as mine:
        device = mine.composer.backend.device  # type: ignore[attr-defined]
        wait = type(device).wait

        def forgetful(self: object, stream: object, event: object) -> None:
            program = next(iter(mine.composer._programs.values())).program
            if event is not program._began:  # type: ignore[attr-defined]
                wait(device, stream, event)

        monkeypatch.setattr(type(device), "wait", forgetful)
        mine.composer.run_tensors(inputs(PAIR))
        mine.composer.run_tensors(inputs(PAIR))
        program = next(iter(mine.composer._programs.values())).program
        assert "capture" in str(program.not_captured)  # type: ignore[attr-defined]
        del program
        with device.entered():
            device.settle()  # what was queued and not waited for complains until then
    driver.violations()


def test_no_seed_finds_a_race(clean: HostDriver, built: Path, runtime: Runtime) -> None:
    assert run_seeds(clean, built, runtime, range(100)) == []


@pytest.mark.long
def test_no_seed_of_thousands_finds_a_race(
    clean: HostDriver, built: Path, runtime: Runtime
) -> None:
    assert run_seeds(clean, built, runtime, range(100, 10_100)) == []


def test_a_seed_is_an_order(driver: HostDriver) -> None:
    """Two streams, a hundred seeds: now one is first, now the other."""
    import pycuda.driver as cuda

    context = cuda.Device(0).make_context()
    first: set[int] = set()
    for seed in range(100):
        driver.delays(seed, 500)
        pair = [cuda.Stream(1), cuda.Stream(1)]
        memory = cuda.mem_alloc(4)
        hosts = [cuda.pagelocked_empty(1, np.float32) for _ in pair]
        for number, (stream, host) in enumerate(zip(pair, hosts, strict=True)):
            host[:] = number
            cuda.memcpy_htod_async(int(memory), host, stream)
        for stream in pair:
            stream.synchronize()
        last = np.empty(1, np.float32)
        cuda.memcpy_dtoh(last, int(memory))
        first.add(int(last[0]))
        del stream, memory, pair, hosts, host
    assert first == {0, 1}
    cuda.Context.pop()
    context.detach()
