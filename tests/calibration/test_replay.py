"""A replay of the plans of states against the runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.replay import Replay, ReplayEngines, all_in
from denet.graph import RGB_NIR_TIR, kind_of
from runtime import Bundle, Runtime
from runtime.bundle.forms import Form
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
