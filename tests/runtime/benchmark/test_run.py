"""The whole benchmark of a small bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from denet.graph import RGB_NIR_TIR
from denet.missing import draw_states
from runtime import Bundle
from runtime.benchmark import page, run, states, stream
from runtime.benchmark.errors import BenchmarkError
from runtime.benchmark.files import read_report
from runtime.benchmark.request import BenchmarkRequest
from runtime.benchmark.result import BenchmarkReport
from runtime.benchmark.run import bench
from runtime.benchmark.tables import sheets
from runtime.benchmark.watch import slowed
from tests.runtime.benchmark.clock import Tick
from tests.runtime.benchmark.reports import written

COMPLETE = RGB_NIR_TIR.complete
ENGINES = RGB_NIR_TIR.engines
STATES = RGB_NIR_TIR.states


@pytest.fixture
def measured(bundle: Bundle, quick: None) -> BenchmarkReport:
    request = BenchmarkRequest(
        backends=("ort-cpu",),
        parts=("states", "batches", "stream", "images", "limits"),
        rounds=4,
        batches=(1, 2),
        stream=draw_states(RGB_NIR_TIR, 52, 0.5, 0),
    )
    return bench(bundle, request, clock=Tick(0.001))


def test_a_bundle_is_measured_in_every_state_and_engine(
    measured: BenchmarkReport, tmp_path: Path
) -> None:
    (variant,) = measured.variants.values()
    assert list(measured.variants) == ["ort-cpu fp32"]
    assert list(variant.states) == list(variant.end_to_end) == [state.name for state in STATES]
    assert list(variant.engines) == list(ENGINES)
    for state in STATES:
        cost = variant.states[state.name]
        assert list(cost.breakdown.engines) == list(RGB_NIR_TIR.plan(state).engines)
        assert cost.latency.runs == 4
        assert cost.latency.p50 == pytest.approx(1)  # two readings of the clock
        assert cost.against_first is None
    for engine, cost in variant.engines.items():
        assert cost.limit is not None
        assert cost.limit.weight_bytes <= cost.bytes, engine
        assert cost.limit.share == pytest.approx(cost.limit.ms / cost.timing.p50)
    assert list(variant.batches) == [state.name for state in states.swept(RGB_NIR_TIR)]
    assert variant.batches[COMPLETE.name][2].per_second == pytest.approx(2000)
    assert variant.stream is not None
    assert measured.images is not None
    assert variant.dropouts == variant.starts == variant.monoliths == {}
    assert read_report(written(tmp_path, "r.json", measured)) == measured
    assert sheets(measured)
    assert "<svg" not in page.page(measured)


def test_a_sample_of_each_state_is_compared_in_turn_where_there_are_two_precisions(
    outcome: Any, quick: None
) -> None:
    request = BenchmarkRequest(
        backends=("ort-cpu",), precisions=("fp32", "int8"), parts=("states",), rounds=4
    )
    found = bench(outcome.bundle, request, clock=Tick(0.001))
    first, second = found.variants.values()
    assert second.precision.startswith("int8")
    assert all(cost.against_first is None for cost in first.states.values())
    ratios = [cost.against_first for cost in second.states.values()]
    assert [ratio.median for ratio in ratios if ratio] == pytest.approx([1.0] * 7)
    assert second.bytes < first.bytes


def test_the_same_variant_is_not_measured_twice(bundle: Bundle) -> None:
    request = BenchmarkRequest(
        backends=("ort-cpu",), precisions=("auto", "fp32"), parts=("states",)
    )
    with pytest.raises(BenchmarkError, match="ort-cpu fp32 here, which is measured already"):
        bench(bundle, request)


def test_without_onnx_limits_are_left_out_unless_they_are_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lacking() -> None:
        raise BenchmarkError("limits need onnx")

    monkeypatch.setattr(run, "check_onnx", lacking)
    notes: list[str] = []
    drawn = draw_states(RGB_NIR_TIR, stream.SAMPLES, 0.5, 0)
    assert "limits" not in run._possible(BenchmarkRequest(stream=drawn), notes)
    assert notes == ["limits need onnx"]
    with pytest.raises(BenchmarkError, match="need onnx"):
        run._possible(BenchmarkRequest(parts=("limits",)), notes)


def test_without_the_packages_of_a_page_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page.check_page()
    monkeypatch.setattr(page, "find_spec", lambda name: None)
    with pytest.raises(BenchmarkError, match=r"jinja2.*'\.\[report\]'"):
        page.check_page()


def test_what_slowed_the_machine_down_is_told() -> None:
    before = {"CPU core": 3, "oc1": 0}
    assert slowed(before, before, ()) is None
    assert slowed(before, {"CPU core": 5, "oc1": 0, "oc2": 1}, ("GPU power cap",)) == (
        "GPU power cap, CPU core +2, oc2 +1"
    )
