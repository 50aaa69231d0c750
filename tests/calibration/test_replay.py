"""A replay of the plans of states against the runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from calibration.replay import Arrays, Replay, ReplayEngines, all_in
from denet.graph import RGB_NIR_TIR, Graph, execute, image_value, kind_of, stacked, unstacked
from runtime import Bundle, Runtime
from runtime.bundle.forms import Form, Forms
from tests.calibration.parts import ENGINES, STATES, chosen


def test_a_replay_makes_what_the_runtime_makes(bundle: Bundle, data: Path) -> None:
    engines = ReplayEngines(bundle.graph, bundle.read_engine, None)
    images = next(chosen(data, bundle).batches(3))
    replay = Replay(engines, images)
    with Runtime.load(bundle, "ort-cpu") as runtime:
        for state in STATES:
            parts = np.stack(
                [p for _, p in replay.parts(state, all_in(RGB_NIR_TIR, "fp32"))], axis=1
            )
            samples = [{m: images[m][i] for m in state.available} for i in range(3)]
            expected = runtime.composer.run_tensors(samples)
            np.testing.assert_allclose(parts, expected, rtol=1e-4, atol=1e-5)


class Counting(ReplayEngines):
    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle.graph, bundle.read_engine, None)
        self.runs: list[str] = []

    def run(self, engine: str, form: Form, inputs: dict[str, NDArray[np.float32]]):  # type: ignore[no-untyped-def]
        self.runs.append(engine)
        return super().run(engine, form, inputs)


def test_a_replay_makes_nothing_twice(bundle: Bundle, data: Path) -> None:
    engines = Counting(bundle)
    replay = Replay(engines, next(chosen(data, bundle).batches(2)))
    for state in (*STATES, *STATES):
        replay.parts(state, all_in(RGB_NIR_TIR, "fp32"))
    counted = {e: engines.runs.count(e) for e in ENGINES}
    assert all(counted[e] == 1 for e in ENGINES if kind_of(e) != "dem"), counted
    calls = {
        (call.engine, str(call.inputs), state.anchor)
        for state in STATES
        for call in RGB_NIR_TIR.plan(state).calls
    }
    assert len(engines.runs) <= len(calls)


class Played(ReplayEngines):
    """Engines of arithmetic, which tell every input, source and target apart."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph, lambda *_: b"", None)
        self.runs: list[tuple[str, Form]] = []

    def run(self, engine: str, form: Form, inputs: Arrays) -> Arrays:
        self.runs.append((engine, form))
        factor = 1 + self.graph.engines.index(engine) + (0.5 if form == "fp16" else 0)
        match kind_of(engine):
            case "branch":
                feature = factor * inputs["image"]
                return {"feature": feature, "pooled": feature.mean(axis=(2, 3))}
            case "cmft":
                return {"pooled": factor * inputs["feature"].mean(axis=(2, 3)) ** 2}
            case _:
                added = factor * inputs["feature"].mean(axis=(2, 3)) * inputs["base"]
                return {"enhanced": inputs["sum"] + added}


@pytest.mark.parametrize("modalities", [("rgb",), ("rgb", "tir"), ("a", "b", "c", "d")])
def test_a_replay_follows_any_graph(modalities: tuple[str, ...]) -> None:
    graph = Graph(modalities)
    random = np.random.default_rng(0)
    images = {m: random.random((2, 3, 4, 2), np.float32) for m in modalities}
    engines = Played(graph)
    replay = Replay(engines, images)
    forms = all_in(graph, "fp32")
    for state in graph.states:
        values = {image_value(m): images[m] for m in state.available}
        execute(
            graph.plan(state).calls,
            values,
            lambda call, read: unstacked(
                Played(graph).run(call.engine, "fp32", stacked(read, np.stack))
            ),
        )
        parts = replay.parts(state, forms)
        assert len(parts) == graph.parts
        for (_, found), name in zip(parts, graph.plan(state).parts, strict=True):
            np.testing.assert_array_equal(found, values[name])
        read = replay.inputs(state, forms)
        assert [engine for engine, _ in read] == list(graph.plan(state).engines)
    assert {engine for engine, _ in engines.runs} == set(graph.engines)
    runs = list(engines.runs)
    replay.parts(graph.complete, forms)
    assert engines.runs == runs, "all of it was made before"


def test_what_no_changed_engine_feeds_is_made_once() -> None:
    graph = Graph(("rgb", "tir"))
    images = {m: np.ones((1, 3, 2, 2), np.float32) for m in graph.modalities}
    engines = Played(graph)
    replay = Replay(engines, images)
    replay.parts(graph.complete, all_in(graph, "fp32"))
    engines.runs.clear()
    changed: Forms = {**all_in(graph, "fp32"), "dem_tir2rgb": "fp16"}
    replay.parts(graph.complete, changed)
    assert set(engines.runs) == {("dem_tir2rgb", "fp16")}
