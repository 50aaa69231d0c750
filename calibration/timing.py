"""How long each engine takes in each form on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from calibration.replay import Arrays, Replay, ReplayEngines, all_in
from calibration.samples import ChosenSamples
from runtime.bundle.forms import Form

ROUNDS = 15


def engine_times(
    engines: ReplayEngines,
    samples: ChosenSamples,
    forms: Mapping[str, Sequence[Form]],
    notify: Callable[[int], None] = lambda _: None,
) -> dict[str, dict[Form, float]]:
    """Milliseconds of each engine in each form at batch 1: the least of runs in turn (A B A B).

    Not the median: whatever else the machine does only adds, and it must not decide what is chosen.

    An engine that no state of the samples runs is not timed.

    Args:
        engines: what runs.
        samples: of whom the first gives the inputs.
        forms: of each engine, those to compare.
        notify: told of each engine.
    """
    images = next(samples.batches(1))
    replay = Replay(engines, images)
    inputs: dict[str, Arrays] = {}
    real = all_in(engines.graph, "fp32")
    for state in samples.states:
        inputs |= dict(replay.inputs(state, real))
    times: dict[str, dict[Form, float]] = {}
    for engine, asked in forms.items():
        notify(1)
        if engine not in inputs:
            continue
        taken: dict[Form, list[float]] = {form: [] for form in asked}
        for round_ in range(ROUNDS + 2):
            for form in asked:
                began = time.perf_counter()
                engines.run(engine, form, inputs[engine])
                if round_ >= 2:  # the first two load and warm up
                    taken[form].append(1e3 * (time.perf_counter() - began))
        times[engine] = {form: min(each) for form, each in taken.items()}
    return times
