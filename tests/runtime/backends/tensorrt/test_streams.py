"""Programs on streams: any order that they allow is right, and graphs are captured and kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

import runtime.backends.tensorrt.backend as tensorrt
import runtime.backends.tensorrt.streams as streams
from denet.graph import RGB_NIR_TIR, State
from runtime import Runtime
from runtime.backends.tensorrt.device import CaptureError, DeviceError
from runtime.backends.tensorrt.schedule import Placed, Schedule, Work, schedule
from runtime.composer import Composer
from tests.runtime.backends.tensorrt.machines import (
    MIXED,
    Machine,
    backend_of,
    composer_of,
    inputs,
    program_of,
    same,
)
from tests.runtime.backends.tensorrt.queued import Stream, races

COMPLETE = RGB_NIR_TIR.complete
STATES = RGB_NIR_TIR.states


@pytest.mark.parametrize("states", [*([s] for s in STATES), [COMPLETE] * 3, MIXED], ids=str)
def test_any_order_that_the_streams_allow_gives_what_the_cpu_gives(
    machine: Machine, runtime: Runtime, states: list[State]
) -> None:
    """Queued, captured, and replayed, with other images each time."""
    for seed in range(2):
        machine.seed = seed
        composer = composer_of(machine)
        for turn in range(4):
            samples = inputs(states, seed=turn)
            same(composer.run_tensors(samples), runtime, samples)
        assert machine.device.launched == 2
        assert not machine.device.complaints
        composer.close()


@pytest.mark.parametrize("states", [*([s] for s in STATES), MIXED], ids=str)
def test_nothing_is_written_while_another_stream_may_use_it(
    machine: Machine, composer: Composer, states: list[State]
) -> None:
    captured: list[Any] = []
    end = machine.device.end_capture

    def ended(stream: Stream) -> Any:
        captured.append(end(stream))
        return captured[-1]

    machine.device.end_capture = ended  # type: ignore[method-assign]
    for turn in range(3):
        composer.run_tensors(inputs(states, seed=turn))
    assert len({op.stream for op in machine.device.ops}) > 1
    assert not races(machine.device.ops)
    assert len(captured) == 1
    assert not races(captured[0].ops)


def test_the_race_check_misses_no_wait(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each wait of a schedule left out in turn: each time it is seen."""
    kept: list[Schedule] = []

    def left_out(number: int) -> Callable[[Sequence[Work], int], Schedule]:
        def other(works: Sequence[Work], lanes: int) -> Schedule:
            found = schedule(works, lanes)
            kept.append(found)
            waits = [(i, w) for i, at in enumerate(found.placed) for w in at.waits]
            if number >= len(waits):
                return found
            missing, event = waits[number]
            placed = list(found.placed)
            at = placed[missing]
            placed[missing] = Placed(at.lane, tuple(w for w in at.waits if w != event))
            return Schedule(found.lanes, tuple(placed), found.signals, found.joins)

        return other

    total = None
    number = 0
    while total is None or number < total:
        monkeypatch.setattr(streams, "schedule", left_out(number))
        composer = composer_of(machine)
        composer.run_tensors(inputs([STATES[1], STATES[6]]))
        total = sum(len(at.waits) for at in kept[-1].placed)
        assert races(machine.device.ops), f"wait {number} is not missed"
        number += 1
    assert total > 5


def test_branches_run_at_once_and_what_follows_one_stays_beside_it(
    composer: Composer, machine: Machine
) -> None:
    composer.run_tensors(inputs([COMPLETE]))
    lanes = {op.name: op.stream for op in machine.device.ops}
    assert len({id(lanes[f"branch_{m}"]) for m in COMPLETE.available}) == 3
    composer.run_tensors(inputs([RGB_NIR_TIR.parse("rgb")]))
    alone = {op.name: op.stream for op in machine.device.ops}
    assert alone["cmft_rgb2nir"] is alone["branch_rgb"] or (
        alone["cmft_rgb2tir"] is alone["branch_rgb"]
    )


def test_engines_of_one_stream_share_scratch_memory(composer: Composer, machine: Machine) -> None:
    composer.run_tensors(inputs(MIXED))
    backend = backend_of(composer)
    for lane in backend.lanes:
        mine = [op for op in machine.device.ops if op.stream is lane.stream]
        wants = [op.context.engine.scratch for op in mine if hasattr(op, "context")]
        assert lane.scratch is not None
        assert lane.scratch.size == max(wants)


def test_engines_without_scratch_memory_get_none(machine: Machine, runtime: Runtime) -> None:
    machine.options = {"scratch": lambda _: 0}
    composer = composer_of(machine)
    samples = inputs([COMPLETE])
    same(composer.run_tensors(samples), runtime, samples)
    assert all(lane.scratch is None for lane in backend_of(composer).lanes)


def test_a_graph_is_captured_anew_when_scratch_memory_has_moved(
    machine: Machine, runtime: Runtime
) -> None:
    machine.options = {"scratch": lambda name: 64 if "nir" not in name.partition("2")[0] else 4096}
    composer = composer_of(machine)
    rgb, both = [RGB_NIR_TIR.parse("rgb")], [RGB_NIR_TIR.parse("rgb+nir")]
    composer.run_tensors(inputs(rgb * 4))  # so that the tables need not grow later
    for _ in range(3):
        composer.run_tensors(inputs(rgb))
    first = program_of(composer, rgb[0])
    assert first.captured
    assert machine.device.launched == 1
    composer.run_tensors(inputs(both))  # its engines need more, on the first lane or the second
    age = backend_of(composer).scratch_age
    for turn in range(4):
        samples = inputs(rgb, seed=turn)
        same(composer.run_tensors(samples), runtime, samples)
    assert program_of(composer, rgb[0]) is first
    assert first.captured
    assert backend_of(composer).scratch_age == age
    assert machine.device.launched == 4
    assert not machine.device.complaints


def test_a_larger_batch_moves_the_tables_and_forgets_graphs(
    composer: Composer, machine: Machine, runtime: Runtime
) -> None:
    small = [COMPLETE]
    for _ in range(3):
        composer.run_tensors(inputs(small))
    composer.run_tensors(inputs([COMPLETE] * 4))
    for turn in range(3):
        samples = inputs(small, seed=turn)
        same(composer.run_tensors(samples), runtime, samples)
    assert not machine.device.complaints


def test_the_graphs_used_last_are_kept(
    composer: Composer, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorrt, "GRAPHS", 2)
    programs = {}
    for state in STATES[:3]:
        for _ in range(2):
            composer.run_tensors(inputs([state]))
        programs[state] = program_of(composer, state)
    assert [programs[s].captured for s in STATES[:3]] == [False, True, True]
    composer.run_tensors(inputs([STATES[1]]))  # used again, so the other one goes next
    for _ in range(2):
        composer.run_tensors(inputs([STATES[0]]))
    assert [programs[s].captured for s in STATES[:3]] == [True, True, False]
    assert not machine.device.complaints


def test_without_graphs_everything_is_queued(machine: Machine, runtime: Runtime) -> None:
    machine.options = {"captures": False}
    composer = composer_of(machine)
    for turn in range(3):
        samples = inputs([COMPLETE], seed=turn)
        same(composer.run_tensors(samples), runtime, samples)
    assert machine.device.launched == 0


@pytest.mark.parametrize("call", ["begin_capture", "end_capture", "branch_nir"])
def test_what_cannot_be_captured_is_queued(
    composer: Composer, machine: Machine, runtime: Runtime, call: str
) -> None:
    composer.run_tensors(inputs([COMPLETE]))
    capturing = False

    def fail(what: str) -> None:
        nonlocal capturing
        capturing = capturing or what == "begin_capture"
        if capturing and what == call:
            capturing = False
            raise CaptureError("not this one") if "capture" in call else DeviceError("not this one")

    machine.device.fail = fail
    for turn in range(3):
        samples = inputs([COMPLETE], seed=turn)
        same(composer.run_tensors(samples), runtime, samples)
    assert program_of(composer, COMPLETE).not_captured == "not this one"
    assert machine.device.launched == 0
