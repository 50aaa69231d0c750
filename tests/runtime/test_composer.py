"""The composer: which programs, tables and engines it keeps, and when they are made."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from denet.graph import RGB_NIR_TIR, Modality, State
from runtime import Bundle, Runtime
from runtime.backends.base import EngineCall
from tests.runtime.photographs import assert_close, mixed_states, samples_in

COMPLETE = RGB_NIR_TIR.complete
ENGINES = RGB_NIR_TIR.engines
STATES = RGB_NIR_TIR.states


def test_forgotten_programs_are_made_again(
    fresh: Runtime, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.composer._KEPT_PROGRAMS", 2)
    batches = [samples_in([state] * 2, seed) for seed, state in enumerate(STATES)]
    for samples in [*batches, *batches]:
        assert_close(fresh.parts(samples), runtime.parts(samples))


def test_programs_that_serve_stay_and_others_make_room(
    fresh: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.composer._KEPT_PROGRAMS", 2)
    monkeypatch.setattr("runtime.composer._JUDGED", 40)
    a, b, c, d = STATES[:4]
    fresh.parts(samples_in([COMPLETE] * 2))  # tables for all that follow
    fresh.composer._programs.clear()

    def kept_after(*states: State) -> list[State]:
        for state in states:
            fresh.parts(samples_in([state]))
        return [state for (state,) in fresh.composer._programs]

    assert kept_after(a, b, c, c) == [a, b]  # there is room for two
    assert kept_after(*[a] * 34, c) == [a, b]  # judged: six of forty had none
    assert kept_after(*[c] * 30, *[a] * 9) == [a, b]
    assert kept_after(d) == [d]  # judged: 31 of forty had none
    assert kept_after(c, a) == [d, c]


def test_memory_is_that_of_the_largest_batch(
    fresh: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory: list[weakref.ref[Any]] = []
    allocate = fresh.composer.backend.allocate

    def recording(shape: tuple[int, ...]) -> Any:
        buffer = allocate(shape)
        memory.append(weakref.ref(buffer.owner))
        return buffer

    monkeypatch.setattr(fresh.composer.backend, "allocate", recording)
    for count in (1, 2, 3, 5, 8, 4, 1):
        fresh.parts(samples_in([COMPLETE] * count))
    gc.collect()
    # Images and features of three modalities, and one table of vectors.
    assert sum(owner() is not None for owner in memory) <= 7


def test_only_a_larger_batch_moves_what_programs_are_bound_to(
    fresh: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh.parts(samples_in([COMPLETE] * 6))
    monkeypatch.setattr(fresh.composer.backend, "allocate", lambda shape: pytest.fail(f"{shape}"))
    for seed in range(20):
        states = np.random.default_rng(seed).integers(len(STATES), size=1 + seed % 6)
        fresh.parts(samples_in([STATES[i] for i in states]))


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The engines that were read from a bundle to be loaded, in order."""
    loads: list[str] = []
    read = Bundle.read_engine

    def recording(self: Bundle, engine: str, precision: Any) -> bytes:
        loads.append(engine)
        return read(self, engine, precision)

    monkeypatch.setattr(Bundle, "read_engine", recording)
    return loads


def test_engines_are_loaded_when_a_state_needs_them_and_once(
    bundle: Bundle, loads: list[str]
) -> None:
    thermal, both = RGB_NIR_TIR.state({"tir"}), RGB_NIR_TIR.state({"rgb", "tir"})
    with Runtime.load(bundle, "ort-cpu") as lazy:
        assert loads == []
        lazy.embed_batch(samples_in([thermal]))
        assert Counter(loads) == Counter(RGB_NIR_TIR.plan(thermal).engines)
        lazy.embed_batch(samples_in([thermal] * 2))
        lazy.embed_batch(samples_in([both, thermal]))
        assert Counter(loads) == Counter(
            {*RGB_NIR_TIR.plan(thermal).engines, *RGB_NIR_TIR.plan(both).engines}
        )


def test_preload_loads_all_engines_at_once(bundle: Bundle, loads: list[str]) -> None:
    with Runtime.load(bundle, "ort-cpu", preload=True) as eager:
        assert Counter(loads) == Counter(ENGINES)
        eager.embed_batch(samples_in(STATES))
        assert len(loads) == 15


def test_prepare_loads_what_the_states_need(fresh: Runtime, loads: list[str]) -> None:
    chosen = [RGB_NIR_TIR.state({"nir"}), RGB_NIR_TIR.state({"nir", "tir"})]
    fresh.prepare(chosen)
    assert Counter(loads) == Counter(
        {engine for s in chosen for engine in RGB_NIR_TIR.plan(s).engines}
    )


def test_a_trace_tells_when_each_engine_ran(fresh: Runtime) -> None:
    states = [STATES[1], STATES[5]]
    samples = [
        {m: np.full((3, 64, 32), 0.1, np.float32) for m in state.available} for state in states
    ]

    def fill(sample: int, modality: Modality, out: NDArray[np.float32]) -> None:
        np.copyto(out, samples[sample][modality])

    trace = fresh.composer.trace(states, fill)
    engines = [span.name for span in trace.spans if span.kind == "engine"]
    needed = {engine for state in states for engine in RGB_NIR_TIR.plan(state).engines}
    assert engines == [engine for engine in ENGINES if engine in needed]
    edges = [at for span in trace.spans for at in (span.start, span.stop)]
    assert edges == sorted(edges)
    assert edges[0] >= 0
    assert edges[-1] <= trace.seconds


def test_an_engine_runs_once_in_a_mixed_batch_whatever_the_states(
    fresh: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: Counter[str] = Counter()
    program = fresh.composer.backend.program

    def recording(uploads: Any, calls: Sequence[Any], downloads: Any) -> Any:
        runs.update(call.engine for call in calls if isinstance(call, EngineCall))
        return program(uploads, calls, downloads)

    monkeypatch.setattr(fresh.composer.backend, "program", recording)
    for states in (STATES, mixed_states(16, seed=4), [STATES[3], STATES[6]], [COMPLETE]):
        runs.clear()
        fresh.parts(samples_in(states))
        assert runs == Counter(
            {engine for state in states for engine in RGB_NIR_TIR.plan(state).engines}
        )
