"""What a state costs: traced runs taken apart, and energy."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from denet.graph import RGB_NIR_TIR, Graph
from runtime import Runtime
from runtime.backends.base import Span, Trace
from runtime.benchmark import states, stream
from runtime.benchmark.assemble import first_state
from runtime.benchmark.inputs import limited, network_inputs
from runtime.machine import PowerMeter
from tests.runtime.benchmark.clock import Tick

ENGINES = RGB_NIR_TIR.engines
STATES = RGB_NIR_TIR.states


def traced(
    total: float, *spans: tuple[str, str, float, float], enqueued: float | None = None
) -> Any:
    parts = tuple(Span(kind, name, 0, start, stop) for kind, name, start, stop in spans)
    return states.Traced(total, Trace(enqueued, total, parts))


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 10)), max_size=12))
def test_what_is_covered_is_counted_once(pieces: list[tuple[int, int]]) -> None:
    spans = [Span("engine", "e", 0, start, start + length) for start, length in pieces]
    seconds = {second for start, length in pieces for second in range(start, start + length)}
    assert states.covered(spans) == len(seconds)


def test_a_breakdown_tells_engines_and_what_is_outside() -> None:
    run = traced(
        0.010,
        ("upload", "upload", 0.000, 0.001),
        ("engine", "branch_rgb", 0.001, 0.005),
        ("engine", "branch_tir", 0.002, 0.006),  # beside it, in another lane
        ("copy", "copy", 0.006, 0.0065),
        ("engine", "dem_rgb2tir", 0.007, 0.008),
        ("download", "download", 0.008, 0.009),
        enqueued=0.002,
    )
    slow = traced(0.100, ("engine", "branch_rgb", 0.0, 0.09), ("engine", "branch_tir", 0.0, 0.0))
    found = states.breakdown([run, run, slow])
    assert found.runs == 3
    assert found.total == pytest.approx(10)
    assert found.engines == pytest.approx({"branch_rgb": 4, "branch_tir": 4, "dem_rgb2tir": 1})
    assert list(found.engines) == ["branch_rgb", "branch_tir", "dem_rgb2tir"]
    assert found.outside == pytest.approx(4)  # ten less what engines cover: 1 to 6, and 7 to 8
    assert found.share == pytest.approx(0.4)
    assert (found.upload, found.copy, found.download) == pytest.approx((1, 0.5, 1))
    assert found.enqueued == pytest.approx(2)


def test_a_state_is_traced_through_the_runtime(runtime: Runtime) -> None:
    (sample,) = network_inputs(runtime.bundle.manifest.preprocessing, 1, 0)
    for state in STATES:
        run = states.tracer(runtime, [limited(sample, state)], Tick(1.0))()
        ran = [span.name for span in run.trace.spans if span.kind == "engine"]
        assert ran == [call.engine for call in RGB_NIR_TIR.plan(state).calls]
        assert run.total == 1.0


def test_the_first_state_of_an_engine_runs_it() -> None:
    for engine in ENGINES:
        state = first_state(RGB_NIR_TIR, engine)
        assert engine in RGB_NIR_TIR.plan(state).engines
        assert not any(engine in RGB_NIR_TIR.plan(s).engines for s in STATES[: STATES.index(state)])


class Rails(PowerMeter):
    """A meter that tells what it is told."""

    def __init__(self, told: dict[str, float] | None) -> None:
        super().__init__()
        self.told = told

    def energy(self) -> dict[str, float] | None:
        return self.told


def test_energy_is_that_of_the_module_for_each_run() -> None:
    clock, runs = Tick(), []

    def run() -> None:
        runs.append(1)
        clock.now += 0.5

    assert states.joules(run, Rails({"VDD_IN": 30.0, "VDD_CPU": 9.0}), clock) == 30.0 / len(runs)
    assert len(runs) == states.ENERGY_SECONDS / 0.5
    assert states.joules(run, Rails(None), clock) is None


def test_what_is_measured_follows_the_graph() -> None:
    pair, alone = Graph(("rgb", "tir")), Graph(("rgb",))
    assert [state.name for state in states.swept(pair)] == ["rgb+tir", "rgb"]
    assert [state.name for state in states.swept(alone)] == ["rgb"]
    assert set(pair.engines_of(pair.states)) == set(pair.engines)
    assert set(alone.engines_of([alone.complete])) == {"branch_rgb"}
    assert stream.losable(pair) == ("rgb", "tir")
    assert stream.losable(alone) == ()
    assert stream.without(pair, "rgb").name == "tir"
