"""The benchmark: its statistics, what it runs in which order, and what it takes apart.

Nothing here depends on how long anything takes: clocks are the tests' own.
"""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from denet.checkpoint import save_checkpoint
from denet.evaluate import draw_states
from denet.graph import COMPLETE, ENGINES, MODALITIES, RGB_NIR_TIR, STATES, State, plan
from denet.initialize import initial_model
from denet.model import DENet
from export.monolith import MonolithError, export_monoliths, monolith
from runtime import Bundle, Runtime
from runtime.backends.base import Span, Trace
from runtime.benchmark import start, states, stats, stream, turns
from runtime.benchmark.assemble import first_state
from runtime.benchmark.child import Asked, Told
from runtime.benchmark.errors import BenchmarkError
from runtime.benchmark.images import image_cost
from runtime.benchmark.inputs import (
    drawn_files,
    limited,
    network_inputs,
    opened,
    read_files,
    usual_size,
)
from runtime.benchmark.monolith import find_monoliths, monolith_costs
from runtime.machine import PowerMeter
from tests.clock import Tick
from tests.conftest import SMALL
from tests.paths import ROOT

RGB, TIR = State.parse("rgb"), State.parse("tir")

times = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=60)


def quiet(_: str) -> None:
    """Hears nothing."""


# Statistics


@given(times, st.floats(0.01, 1.0))
def test_a_percentile_is_the_least_time_that_is_not_below_so_many(
    values: list[float], share: float
) -> None:
    found = stats.percentile(values, share)
    enough = [v for v in values if sum(w <= v for w in values) >= share * len(values) - 1e-6]
    assert found == min(enough)


@given(times)
def test_percentiles_are_those_of_numpy(values: list[float]) -> None:
    for share in (0.5, 0.9, 0.99):
        expected = np.percentile(values, 100 * share, method="inverted_cdf")
        assert stats.percentile(values, share) == expected


@given(st.lists(times, min_size=1, max_size=12))
def test_a_timing_leaves_no_time_out(stretches: list[list[float]]) -> None:
    found = stats.timing(stretches)
    every = 1e3 * np.concatenate(stretches)
    assert found.runs == len(every)
    assert found.max == pytest.approx(every.max())
    assert found.mean == pytest.approx(every.mean())
    assert found.p50 <= found.p90 <= found.p99 <= found.max
    medians = [1e3 * np.median(stretch) for stretch in stretches]
    assert (found.low, found.high) == pytest.approx((min(medians), max(medians)))
    assert found.spread == pytest.approx((max(medians) - min(medians)) / found.p50)


def test_with_fewer_than_a_hundred_runs_p99_is_the_greatest() -> None:
    assert stats.timing([[float(i) for i in range(1, 100)]]).p99 == 99e3
    assert stats.timing([[float(i) for i in range(1, 101)]]).p99 == 99e3
    assert stats.timing([[float(i) for i in range(1, 101)]]).max == 100e3


def test_a_drift_is_spread_and_an_outlier_is_tail() -> None:
    steady = [1.0, 1.0, 1.0, 1.0, 9.0]
    assert not stats.timing([steady] * 4).noisy
    assert stats.timing([steady] * 4).max == 9000
    assert stats.timing([[1.0] * 5, [1.2] * 5]).noisy


# From tables of the sign test's interval for the median, at 95 %.
@pytest.mark.parametrize(
    ("n", "k"), [(6, 1), (8, 1), (9, 2), (10, 2), (20, 6), (30, 10), (100, 40)]
)
def test_the_interval_of_a_median_is_that_of_the_sign_test(n: int, k: int) -> None:
    values = [float(i) for i in range(1, n + 1)]
    assert stats.sign_interval(list(reversed(values))) == (k, n - k + 1)


@pytest.mark.parametrize("n", range(6, 40))
def test_the_interval_misses_the_median_seldom_enough_and_is_no_wider(n: int) -> None:
    def missed(k: int) -> float:
        """How often the k-th least of n values is above the median, or the k-th greatest below."""
        return 2 * sum(math.comb(n, heads) for heads in range(k)) / 2**n

    low, high = stats.sign_interval([float(i) for i in range(1, n + 1)])
    assert low + high == n + 1
    assert missed(int(low)) <= 0.05
    assert low == n // 2 or missed(int(low) + 1) > 0.05


@given(times)
def test_an_interval_holds_the_median_that_was_measured(values: list[float]) -> None:
    low, high = stats.sign_interval(values)
    assert low <= np.median(values) <= high


def test_a_ratio_is_of_pairs_and_a_drift_favours_no_side() -> None:
    drift = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0]
    found = stats.ratio([1.1 * t for t in drift], drift)
    assert found.median == pytest.approx(1.1)
    assert (found.low, found.high) == pytest.approx((1.1, 1.1))
    assert (found.verdict, found.pairs) == ("slower", 8)
    assert stats.ratio(drift, [1.1 * t for t in drift]).verdict == "faster"


def test_a_ratio_around_one_is_the_same_or_nothing_can_be_said() -> None:
    ones = [1.0] * 20
    assert stats.ratio([0.99, 1.01] * 10, ones).verdict == "the same"
    assert stats.ratio([0.9, 1.1] * 10, ones).verdict == "too noisy to say"


def test_times_have_settled_when_two_windows_agree() -> None:
    assert not stats.settled([1.0] * 9)
    assert stats.settled([1.0] * 10)
    assert not stats.settled([1.2] * 5 + [1.0] * 5)
    assert stats.settled([1.2] * 5 + [1.0] * 5 + [1.0, 1.0, 9.0, 1.0, 1.02])
    assert stats.settled([5.0, 1.029, 1.0, 1.0], window=2, tolerance=2.5)


def test_throughput_counts_the_tail() -> None:
    slow = stats.timing([[0.1] * 9 + [1.1]])
    assert stats.throughput(slow, 4) == pytest.approx(4 / 0.2)


# Running in turn


def test_a_warm_up_goes_on_until_times_settle() -> None:
    clock = Tick()
    falling = iter([8.0, 4.0, 2.0, 1.5, 1.2] + [0.1] * 100)
    found = turns.warm_up(clock.side(lambda: next(falling)), clock)
    assert (found.runs, found.settled) == (13, True)  # three of five before the last are fast


def test_a_warm_up_that_does_not_settle_has_an_end_and_says_so() -> None:
    clock = Tick()
    growing = itertools.count(1)
    found = turns.warm_up(clock.side(lambda: 1e-6 * 1.5 ** next(growing)), clock)
    assert not found.settled
    assert found.runs <= turns.WARM_RUNS
    slow = turns.warm_up(clock.side(lambda: turns.WARM_SECONDS + 1), clock)
    assert (slow.runs, slow.settled) == (1, False)


def test_sides_run_in_turn_and_groups_in_stretches() -> None:
    clock, order = Tick(0.001), []
    groups = {
        group: {side: (lambda name=f"{group}{side}": order.append(name)) for side in "AB"}
        for group in "xy"
    }
    found = turns.in_turn(groups, stretches=2, runs=3, clock=clock, warm=False)
    stretch = [
        *(["xA", "xB"]), *(["xA", "xB", "xB", "xA", "xA", "xB"]),
        *(["yA", "yB"]), *(["yA", "yB", "yB", "yA", "yA", "yB"]),
    ]  # fmt: skip
    assert order == stretch * 2
    assert found.unsettled == ()
    assert {len(s) for g in found.times.values() for side in g.values() for s in side} == {3}
    assert len(found.times["x"]["A"]) == 2


def test_a_slow_run_is_never_left_out() -> None:
    clock = Tick()
    seconds = iter([0.0] + [1.0] * 3 + [50.0] + [1.0] * 100)
    found = turns.in_turn(
        {"g": {"s": clock.side(lambda: next(seconds))}},
        stretches=2,
        runs=4,
        clock=clock,
        warm=False,
    )
    assert stats.timing(found.times["g"]["s"]).max == 50e3


def test_what_does_not_settle_is_named() -> None:
    clock = Tick()
    growing = itertools.count(1)
    found = turns.in_turn(
        {"g": {"s": clock.side(lambda: 1.5 ** next(growing))}}, stretches=1, runs=1, clock=clock
    )
    assert found.unsettled == (("g", "s"),)


@given(st.integers(1, 500), st.integers(1, 20))
def test_rounds_are_shared_out_and_none_is_lost(rounds: int, stretches: int) -> None:
    runs = turns.shared_out(rounds, stretches)
    assert runs * stretches >= rounds
    assert (runs - 1) * stretches < rounds


# What the backend tells


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
        run = states.tracer(runtime, limited(sample, state), Tick(1.0))()
        ran = [span.name for span in run.trace.spans if span.kind == "engine"]
        assert ran == [call.engine for call in plan(state).calls]
        assert run.total == 1.0


def test_the_first_state_of_an_engine_runs_it() -> None:
    for engine in ENGINES:
        state = first_state(engine)
        assert engine in plan(state).engines
        assert not any(engine in plan(s).engines for s in STATES[: STATES.index(state)])


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


# What is embedded


def test_network_input_is_that_of_the_model_and_of_the_seed(bundle: Bundle) -> None:
    size = bundle.manifest.preprocessing
    one, other = network_inputs(size, 2, 5)
    assert one["rgb"].shape == (3, size.height, size.width)
    assert not np.array_equal(one["rgb"], other["rgb"])
    assert np.array_equal(network_inputs(size, 1, 5)[0]["tir"], one["tir"])
    assert abs(float(np.mean(one["nir"]))) < 0.1
    assert float(np.std(one["nir"])) == pytest.approx(1, abs=0.1)


def test_drawn_files_are_jpegs_larger_than_the_networks_input(bundle: Bundle) -> None:
    size = bundle.manifest.preprocessing
    files = drawn_files(size, 0)
    images = opened(files, COMPLETE)
    assert [image.format for image in images.values()] == ["JPEG"] * 3
    assert images["tir"].mode == "L"
    assert usual_size([files]) == (96, 48)  # one and a half times 64x32
    assert files == drawn_files(size, 0)


def test_a_users_images_are_the_complete_samples_of_a_folder(tmp_path: Path) -> None:
    assert len(read_files(ROOT / "docs" / "samples")) == 6
    (tmp_path / "RGB").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "RGB" / "a.png")
    with pytest.raises(BenchmarkError, match="no sample has an image of each modality"):
        read_files(tmp_path)


def test_preprocessing_is_taken_apart(runtime: Runtime) -> None:
    manifest = runtime.bundle.manifest
    seconds: Counter[str] = Counter()
    clock = Tick()

    def preprocess(image: Any, modality: Any, out: Any) -> None:
        """As if decoding took 5 ms, resizing 2 ms and normalizing 1 ms."""
        if isinstance(image, Image.Image) and getattr(image, "fp", None) is not None:
            clock.now += 0.005
            seconds["decoded"] += 1
        if image.size != (32, 64):
            clock.now += 0.002
        clock.now += 0.001

    preprocess.shape = (3, 64, 32)  # type: ignore[attr-defined]
    ranges = dict.fromkeys(MODALITIES, (0, 65535))
    files = [drawn_files(manifest.preprocessing, seed) for seed in range(3)]
    found = image_cost(preprocess, files, ranges, 60, clock, quiet)  # type: ignore[arg-type]
    steps = found.decode, found.resize, found.normalize
    assert steps == pytest.approx((15, 6, 3))  # of three images
    assert found.total.p50 == pytest.approx(24)
    assert found.total.runs == 60
    assert found.size == (96, 48)
    assert seconds["decoded"]


# Streams


def test_a_stream_runs_the_same_samples_in_three_ways(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "BATCH", 4)
    monkeypatch.setattr(stream, "SAMPLES", 4 * (5 * 5 + 1))
    samples = network_inputs(runtime.bundle.manifest.preprocessing, 4, 0)
    drawn = draw_states(RGB_NIR_TIR, stream.SAMPLES, 0.5, 0)
    run: list[tuple[State, ...]] = []

    def recording(given: Sequence[Any]) -> Any:
        run.append(tuple(State.of(sample) for sample in given))
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
    found = stream.dropout_costs(lambda: Recording.load(bundle, "ort-cpu"), sample, 1, clock, quiet)
    assert prepared == [STATES, (COMPLETE,)]
    assert [found[m].state for m in MODALITIES] == ["nir+tir", "rgb+tir", "rgb+nir"]
    assert found["rgb"].engines == 2  # nir has to recover both others
    assert found["tir"].engines == 0
    assert found["tir"].around.runs == 2 * stream.FRAMES
    assert found["tir"].first.median == found["tir"].first_cold.median == pytest.approx(1)


# Fresh processes


def test_a_fresh_process_tells_what_a_start_takes(bundle: Bundle) -> None:
    asked = Asked(
        bundle=str(bundle.root), backend="ort-cpu", precision="fp32", threads=2, states=(), batch=1
    )
    found = start.start_costs(asked, 1, 1, states=[RGB])
    assert list(found) == ["rgb", "all"]
    assert (found["rgb"].engines, found["all"].engines) == (5, 15)
    assert found["rgb"].first.median == pytest.approx(
        found["rgb"].load.median + found["rgb"].embed.median
    )
    assert min(found["rgb"].imports.median, found["rgb"].load.median) > 0
    if sys.platform == "linux":
        memory = found["rgb"].host_bytes
        assert memory is not None
        assert 2e7 < memory.median < 2e9
    assert found["rgb"].device_bytes is None


def test_starts_of_one_kind_take_turns_with_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[tuple[str, ...], int]] = []

    def run(asked: Asked) -> Told:
        ran.append((asked.states, asked.batch))
        return Told(imports=1, load=2, embed=len(ran), host_bytes=None, device_bytes=7)

    monkeypatch.setattr(start, "_run", run)
    asked = Asked(bundle="b", backend="", precision="", threads=None, states=(), batch=1)
    found = start.start_costs(asked, 16, 2, states=[RGB, TIR])
    every = tuple(s.name for s in STATES)
    assert ran == [(("rgb",), 1), (("tir",), 1), (every, 1), (every, 16)] * 2
    assert found["rgb"].embed == stats.Repeated(median=3e3, low=1e3, high=5e3)
    assert found["rgb"].host_bytes is None
    assert found["all, batch 16"].device_bytes == stats.Repeated(median=7, low=7, high=7)


def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    asked = Asked(
        bundle=str(tmp_path), backend="auto", precision="auto", threads=1, states=("rgb",), batch=1
    )
    with pytest.raises(BenchmarkError, match=r"fresh process could not embed .*not a bundle"):
        start._run(asked)


def test_a_fresh_process_imports_no_more_than_a_node() -> None:
    code = (
        "import sys, runtime.benchmark.child\n"
        "print({'torch', 'onnx', 'matplotlib', 'rich', 'jinja2'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# Whole graphs


@pytest.fixture(scope="module")
def graph(model: DENet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("monoliths")
    (folder / "tir.onnx").write_bytes(monolith(model, TIR))
    return folder


def test_a_whole_graph_makes_what_the_engines_make(runtime: Runtime, graph: Path) -> None:
    found = find_monoliths(graph)
    assert list(found) == [TIR]
    samples = network_inputs(runtime.bundle.manifest.preprocessing, 3, 0)
    costs = monolith_costs(runtime, found, samples, [1, 3], 10, Tick(0.5), quiet)["tir"]
    assert costs.min_cosine > 0.99999
    assert costs.bytes == (graph / "tir.onnx").stat().st_size
    assert costs.ratio[3].median == 1
    assert costs.composed[1].runs == 10
    assert list(costs.monolith) == [1, 3]


def test_a_graph_of_another_state_or_none_is_refused(
    runtime: Runtime, graph: Path, tmp_path: Path
) -> None:
    samples = network_inputs(runtime.bundle.manifest.preprocessing, 1, 0)
    with pytest.raises(BenchmarkError, match=r"tir\.onnx: cannot be run"):
        monolith_costs(runtime, {RGB: graph / "tir.onnx"}, samples, [1], 1, Tick(1.0), quiet)
    with pytest.raises(BenchmarkError, match="no such folder"):
        find_monoliths(tmp_path / "none")
    with pytest.raises(BenchmarkError, match="holds no graph"):
        find_monoliths(tmp_path)


def test_a_graph_of_another_model_is_refused(runtime: Runtime, graph: Path, tmp_path: Path) -> None:
    model = onnx.load(graph / "tir.onnx")
    random = np.random.default_rng(0)
    for weights in model.graph.initializer:
        if len(weights.dims) == 4:
            other = random.standard_normal(tuple(weights.dims), dtype=np.float32)
            weights.raw_data = (0.05 * other).tobytes()
    onnx.save(model, tmp_path / "tir.onnx")
    samples = network_inputs(runtime.bundle.manifest.preprocessing, 1, 0)
    with pytest.raises(BenchmarkError, match="other embeddings than the bundle"):
        monolith_costs(runtime, find_monoliths(tmp_path), samples, [1], 1, Tick(1.0), quiet)


def test_graphs_of_another_checkpoint_are_not_exported(
    bundle: Bundle, model: DENet, tmp_path: Path
) -> None:
    model_path = tmp_path / "other.safetensors"
    save_checkpoint(initial_model(SMALL, seed=1, pretrained=False), model_path, replace=True)
    with pytest.raises(MonolithError, match="not the checkpoint"):
        export_monoliths(model_path, bundle, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["other.safetensors"]
