"""The ranges that are observed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from calibration.observe import BINS, Observer, _collector, observe
from calibration.replay import Replay, ReplayEngines, all_in
from denet.graph import RGB_NIR_TIR
from runtime import Bundle
from tests.calibration.parts import ENGINES, STATES, chosen


@pytest.mark.usefixtures("coarse")
def test_ranges_hold_what_occurred_in_any_state(bundle: Bundle, data: Path) -> None:
    samples = chosen(data, bundle)
    found = observe(bundle, samples, None, 4)
    assert set(found) == set(ENGINES)
    engines = ReplayEngines(bundle.graph, bundle.read_engine, None)
    extremes: dict[tuple[str, str], list[float]] = {}
    for images in samples.batches(20):
        replay = Replay(engines, images)
        for state in STATES:
            replay.parts(state, all_in(RGB_NIR_TIR, "fp32"))
            for engine, inputs in replay.inputs(state, all_in(RGB_NIR_TIR, "fp32")):
                for name, array in (inputs | engines.run(engine, "fp32", inputs)).items():
                    extremes.setdefault((engine, name), []).extend([array.min(), array.max()])
    for (engine, name), values in extremes.items():
        low, high = found[engine][name].minmax
        assert (low, high) == pytest.approx((min(values), max(values)), rel=1e-4, abs=1e-5)
    for engine in ("branch_nir", "cmft_nir2tir"):
        for name, known in found[engine].items():
            for method in ("percentile", "entropy"):
                low, high = known.by(method)
                assert known.minmax[0] - 1e-3 <= low <= high <= known.minmax[1] + 1e-3, name


def test_memory_does_not_grow_with_the_samples(bundle: Bundle, data: Path) -> None:
    samples = chosen(data, bundle)
    observer = Observer(bundle, None)
    sizes = []
    for images in samples.batches(5):
        Replay(observer, images).parts(STATES[0], all_in(RGB_NIR_TIR, "fp32"))
        collector = observer._histograms["branch_rgb"].get_histogram_dict()
        sizes.append(sum(len(histogram[0]) for histogram in collector.values()))
    assert len(sizes) == 4
    assert max(sizes) < 3 * BINS * len(collector)


def test_a_tensor_that_hardly_varies_has_the_range_that_occurred() -> None:
    """The library finds a highest value below the lowest: an untrained OSNet's gates."""
    observer = Observer(SimpleNamespace(graph=RGB_NIR_TIR), None)  # it runs no engine
    values = np.array([0.5, 0.50001], np.float32)
    observer._extremes["branch_rgb"] = {"gate": (0.5, 0.50001)}
    collector = observer._histograms["branch_rgb"] = _collector("entropy")
    collector.collect_value({"gate": values})
    found = observer.ranges("branch_rgb")["gate"]
    assert found.minmax == (0.5, 0.50001)
    for method in ("percentile", "entropy"):
        low, high = found.by(method)
        assert 0.499 < low <= high < 0.502
