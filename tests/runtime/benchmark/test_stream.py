"""A stream in mixed states, and one in which a camera dies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from denet.graph import RGB_NIR_TIR, State
from denet.missing import draw_states
from runtime import Bundle, Runtime
from runtime.benchmark import stream
from runtime.benchmark.inputs import network_inputs
from tests.runtime.benchmark.clock import Tick
from tests.runtime.benchmark.shared import quiet

COMPLETE = RGB_NIR_TIR.complete
MODALITIES = RGB_NIR_TIR.modalities
STATES = RGB_NIR_TIR.states


def test_a_stream_runs_the_same_samples_in_three_ways(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "BATCH", 4)
    monkeypatch.setattr(stream, "SAMPLES", 4 * (5 * 5 + 1))
    samples = network_inputs(runtime.bundle.manifest.preprocessing, 4, 0)
    drawn = draw_states(RGB_NIR_TIR, stream.SAMPLES, 0.5, 0)
    run: list[tuple[State, ...]] = []

    def recording(given: Sequence[Any]) -> Any:
        run.append(tuple(RGB_NIR_TIR.state(sample) for sample in given))
        return np.zeros((len(given), 6, 512), np.float32)

    monkeypatch.setattr(runtime.composer, "run_tensors", recording)
    found = stream.stream_cost(runtime, samples, drawn, Tick(1.0))
    assert (found.samples, found.batch) == (80, 4)
    assert found.batched.p50 == found.single.p50 == 250
    assert found.over_single.median == 1
    assert found.over_single.pairs == 20
    assert Counter(s for given in run for s in given) == {s: 3 * drawn.count(s) for s in drawn}
    batches = [tuple(drawn[i : i + 4]) for i in range(0, len(drawn), 4)]
    for batch in batches:  # each is run whole, and taken apart
        assert batch in run
        assert all((state,) in run for state in batch)
        assert all((state,) * batch.count(state) in run for state in batch)


def test_a_camera_that_dies_is_followed_by_the_state_without_it(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "FRAMES", 3)
    (sample,) = network_inputs(bundle.manifest.preprocessing, 1, 0)
    prepared: list[tuple[State, ...]] = []

    class Recording(Runtime):
        def prepare(self, states: Any) -> None:
            prepared.append(tuple(states))
            super().prepare(states)

    clock = Tick(0.001)
    found = stream.dropout_costs(
        lambda: Recording.load(bundle, "ort-cpu"), RGB_NIR_TIR, sample, 1, clock, quiet
    )
    assert prepared == [STATES, (COMPLETE,)]
    assert [found[m].state for m in MODALITIES] == ["nir+tir", "rgb+tir", "rgb+nir"]
    assert found["rgb"].engines == 2  # nir has to recover both others
    assert found["tir"].engines == 0
    assert found["tir"].around.runs == 2 * stream.FRAMES
    assert found["tir"].first.median == found["tir"].first_cold.median == pytest.approx(1)
