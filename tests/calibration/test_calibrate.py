"""FP16 and INT8 engines against numpy, the runtime and brute force; the choice among them; and
what cannot be calibrated."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from calibration import CalibrationError, Outcome, Request, calibrate
from calibration.choose import fastest_first, select
from calibration.fp16 import half_engine, overflow
from calibration.int8 import int8_edge, int8_engine
from calibration.judge import Effect, Judge, overlap, paired_change
from calibration.observe import BINS, Observer, observe
from calibration.replay import Engines, Replay, all_in
from calibration.samples import LEAST, Chosen, choose_samples
from calibration.table import Ranges, read_table
from denet.data.records import open_data
from denet.data.synthetic import SyntheticConfig, write_synthetic
from denet.graph import ENGINES, MODALITIES, STATES, Modality, State, plan
from runtime import BackendError, Bundle, BundleError, Runtime
from runtime.backends.onnxruntime.providers import CPU
from runtime.backends.onnxruntime.session import Pool, open_session
from runtime.bundle.forms import Form, Forms, cpu_targets
from runtime.bundle.slim import slim
from runtime.head import Head
from runtime.preprocess import Preprocessor
from tests.command import denet, refused
from tests.conftest import copied

KINDS = ("branch_rgb", "cmft_rgb2nir", "dem_nir2rgb")


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def chosen(data: Path, bundle: Bundle, count: int = 20) -> Chosen:
    preprocess = Preprocessor(bundle.manifest.preprocessing)
    return choose_samples(data, None, preprocess, count, 0).calibration


def cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(np.sum(a * b) / np.linalg.norm(a) / np.linalg.norm(b))


# Forms


def convolution(weight: NDArray[np.float32], bias: NDArray[np.float32]) -> bytes:
    """Conv and ReLU as a model."""
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w", "b"], ["c"], "conv"),
            helper.make_node("Relu", ["c"], ["y"], "relu"),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", weight.shape[1], 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", weight.shape[0], 4, 4])],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(bias, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    content: bytes = model.SerializeToString()
    return content


def steps(
    values: NDArray[np.float64], low: float, high: float, smallest: int, largest: int
) -> NDArray[np.float64]:
    """What is left of values that become integers: the textbook formula."""
    scale = (high - low) / (largest - smallest)
    zero = np.round(smallest - low / scale)
    return (np.clip(np.round(values / scale) + zero, smallest, largest) - zero) * scale


@pytest.mark.parametrize("target", ["vnni", "avx2", "trt"])
def test_int8_rounds_as_the_textbook_does(target: str) -> None:
    random = np.random.default_rng(0)
    weight = random.standard_normal((5, 3, 1, 1)).astype(np.float32)
    bias = random.standard_normal(5).astype(np.float32)
    image = random.uniform(-1.9, 2, (2, 3, 4, 4)).astype(np.float32)
    ranges = {
        "x": Ranges(minmax=(-1.9, 2.0)),
        "c": Ranges(minmax=(-12.0, 12.0)),
        "y": Ranges(minmax=(0.0, 12.0)),
    }
    model = int8_engine(convolution(weight, bias), ranges, "minmax", target)  # type: ignore[arg-type]

    most = np.abs(weight.astype(np.float64)).max(axis=(1, 2, 3), keepdims=True)
    units = 64 if target == "avx2" else 127
    rounded = np.round(weight / (most / units)) * (most / units)
    if target == "trt":
        seen = steps(image.astype(np.float64), -2, 2, -127, 127)
    else:
        seen = steps(image.astype(np.float64), -1.9, 2, 0, 255)
    expected = np.einsum("oi,nihw->nohw", rounded[:, :, 0, 0], seen) + bias[:, None, None]
    expected = np.maximum(expected, 0)
    Pool.ensure(None)
    session = open_session(model, CPU, "conv", literal=True)
    found = session.run(None, {"x": image})[0]
    step = 12 / 255  # of the output, where it is quantized
    tolerance = 1e-4 if target == "trt" else step / 2 + 1e-3
    assert np.abs(found - expected).max() <= tolerance


def nodes(model: bytes) -> tuple[dict[str, onnx.NodeProto], dict[str, NDArray[np.float32]]]:
    """By output, the nodes of a model; by name, its weights."""
    graph = onnx.load_from_string(model).graph
    made = {output: node for node in graph.node for output in node.output}
    return made, {w.name: numpy_helper.to_array(w) for w in graph.initializer}


@pytest.mark.parametrize("engine", [e for e in ENGINES if not e.startswith("dem")])
def test_int8_for_tensorrt_is_placed_as_it_wants_it(outcome: Outcome, engine: str) -> None:
    made, weights = nodes(outcome.bundle.read_engine(engine, "int8-trt"))
    kinds = {name: node.op_type for name, node in made.items()}
    readers: dict[str, list[str]] = {}
    for node in made.values():
        for name in node.input:
            readers.setdefault(name, []).append(node.op_type)
    quantized = 0
    for name, node in made.items():
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            zero = weights[node.input[2]]
            assert zero.dtype == np.int8
            assert not zero.any()
        if node.op_type == "QuantizeLinear":
            quantized += 1
            if kinds.get(node.input[0]) == "Conv":  # its ReLU would have to wait behind the pair
                (pair,) = (n for n in made.values() if n.input[0] == name)
                assert "Relu" not in readers[pair.output[0]]
        if node.op_type == "Conv" and "attention" not in node.input[1]:
            assert [kinds[i] for i in node.input[:2]] == ["DequantizeLinear"] * 2
            scales = weights[made[node.input[1]].input[1]]
            assert scales.ndim == 1, "a scale for each channel"
            assert weights[made[node.input[1]].input[0]].dtype == np.int8, "stored as int8"
            assert len(node.input) < 3 or weights[node.input[2]].dtype == np.float32
        if (
            node.op_type == "Add"
            and engine.startswith("branch")
            and "Gemm" not in {kinds.get(i) for i in node.input}
        ):
            assert [kinds[i] for i in node.input] != ["Conv", "Conv"]
            assert kinds[node.input[1]] == "DequantizeLinear", "the input that skips the block"
    assert quantized > 5


@pytest.mark.parametrize("engine", ["branch_tir", "cmft_tir2rgb"])
def test_int8_for_a_cpu(outcome: Outcome, bundle: Bundle, engine: str, tmp_path: Path) -> None:
    table = read_table(outcome.bundle)
    assert table is not None
    for target, largest in (("avx2", 64), ("vnni", 127)):
        model = int8_engine(
            bundle.read_engine(engine, "fp32"), table.engines[engine], "minmax", target
        )
        made, weights = nodes(model)
        for node in made.values():
            if node.op_type == "QuantizeLinear":
                assert weights[node.input[2]].dtype == np.uint8
            if node.op_type == "Conv" and "attention" not in node.input[1]:
                stored = weights[made[node.input[1]].input[0]]
                assert stored.dtype == np.int8
                assert np.abs(stored.astype(int)).max() <= largest
    # Nothing between two convolutions falls back to float: ONNX Runtime fuses all of it.
    fused = optimized(model, tmp_path / "fused.onnx")
    assert fused.count("QLinearConv") == sum(
        n.op_type == "Conv" and "attention" not in n.input[1] for n in made.values()
    )
    assert fused.count("QuantizeLinear") == 1
    assert "Relu" not in fused or engine.startswith("branch")  # those of CBAM's vectors


def optimized(model: bytes, path: Path) -> list[str]:
    """The operators that ONNX Runtime makes of a model; it writes them to `path`."""
    options = ort.SessionOptions()
    options.use_per_session_threads = not Pool.shared
    options.log_severity_level = 4
    options.optimized_model_filepath = str(path)
    ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(path).graph.node]


def test_an_int8_edge_does_not_depend_on_its_neighbours(bundle: Bundle) -> None:
    content = bundle.read_engine("dem_rgb2nir", "fp32")
    Pool.ensure(None)
    session = open_session(int8_edge(content), CPU, "edge")
    exact = open_session(content, CPU, "edge")
    random = np.random.default_rng(0)
    feature = random.random((3, 512, 4, 2), np.float32)
    base = random.random((2, 3, 512), np.float32)
    feature[2] *= 100  # a loud neighbour
    feeds = {"feature": feature, "base": base, "sum": np.zeros_like(base)}
    together = session.run(None, feeds)[0]
    alone = session.run(
        None, {"feature": feature[:1], "base": base[:, :1], "sum": np.zeros_like(base[:, :1])}
    )[0]
    np.testing.assert_allclose(together[:, :1], alone, rtol=1e-5, atol=1e-6)
    expected = exact.run(None, feeds)[0]
    for target, row in product(range(2), range(3)):
        assert cosine(together[target, row], expected[target, row]) > 0.999


@pytest.mark.parametrize("engine", KINDS)
def test_half_is_half_within_and_single_without(bundle: Bundle, engine: str) -> None:
    model = onnx.load_from_string(half_engine(bundle.read_engine(engine, "fp32")))
    for value in (*model.graph.input, *model.graph.output):
        assert value.type.tensor_type.elem_type == TensorProto.FLOAT
    matrices = [w for w in model.graph.initializer if len(w.dims) > 1 and w.data_type != 7]
    assert matrices
    assert {w.data_type for w in matrices} == {TensorProto.FLOAT16}


def test_half_that_would_overflow_is_not_made(bundle: Bundle) -> None:
    content = bundle.read_engine("cmft_rgb2nir", "fp32")
    assert overflow(content, {"x": Ranges(minmax=(-30.0, 3e4))}) is None
    said = overflow(content, {"x": Ranges(minmax=(-5e4, 30.0))})
    assert said is not None
    assert "x reaches 5e+04" in said


# Running and observing


def test_a_replay_makes_what_the_runtime_makes(bundle: Bundle, data: Path) -> None:
    engines = Engines(bundle.read_engine, None)
    images = next(chosen(data, bundle).batches(3))
    replay = Replay(engines, images)
    with Runtime.load(bundle, "ort-cpu") as runtime:
        for state in STATES:
            parts = np.stack([p for _, p in replay.parts(state, all_in("fp32"))], axis=1)
            samples = [{m: images[m][i] for m in state.available} for i in range(3)]
            expected = runtime.composer.run_tensors(samples)
            np.testing.assert_allclose(parts, expected, rtol=1e-4, atol=1e-5)


class Counting(Engines):
    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle.read_engine, None)
        self.runs: list[str] = []

    def run(self, engine: str, form: Form, inputs: dict[str, NDArray[np.float32]]):  # type: ignore[no-untyped-def]
        self.runs.append(engine)
        return super().run(engine, form, inputs)


def test_a_replay_makes_nothing_twice(bundle: Bundle, data: Path) -> None:
    engines = Counting(bundle)
    replay = Replay(engines, next(chosen(data, bundle).batches(2)))
    for state in (*STATES, *STATES):
        replay.parts(state, all_in("fp32"))
    counted = {e: engines.runs.count(e) for e in ENGINES}
    assert all(counted[e] == 1 for e in ENGINES if not e.startswith("dem")), counted
    calls = {
        (call.engine, str(call.inputs), state.anchor)
        for state in STATES
        for call in plan(state).calls
    }
    assert len(engines.runs) <= len(calls)


def test_ranges_hold_what_occurred_in_any_state(bundle: Bundle, data: Path) -> None:
    samples = chosen(data, bundle)
    found = observe(bundle, samples, None, 4)
    assert set(found) == set(ENGINES)
    engines = Engines(bundle.read_engine, None)
    extremes: dict[tuple[str, str], list[float]] = {}
    for images in samples.batches(20):
        replay = Replay(engines, images)
        for state in STATES:
            replay.parts(state, all_in("fp32"))
            for engine, inputs in replay.inputs(state, all_in("fp32")):
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
        Replay(observer, images).parts(STATES[0], all_in("fp32"))
        collector = observer._histograms["branch_rgb"].get_histogram_dict()
        sizes.append(sum(len(histogram[0]) for histogram in collector.values()))
    assert len(sizes) == 4
    assert max(sizes) < 3 * BINS * len(collector)


@settings(max_examples=50, deadline=None)
@given(st.integers(3, 30), st.integers(0, 10**6))
def test_overlap_is_that_of_sorted_neighbours(count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    a, b = random.standard_normal((2, count, 5)).astype(np.float32)
    k = min(10, count - 1)
    shares = []
    for i in range(count):
        near = [
            {j for _, j in sorted((-float(x[i] @ x[j]), j) for j in range(count) if j != i)[:k]}
            for x in (a, b)
        ]
        shares.append(len(near[0] & near[1]) / k)
    assert overlap(a, b, 10) == pytest.approx(np.mean(shares))


def test_the_interval_of_a_change_is_paired() -> None:
    random = np.random.default_rng(0)
    identities = np.repeat(np.arange(40), 5)
    before = np.repeat(random.random(40), 5)  # identities differ by far more than the change
    after = before - 0.01 + random.normal(0, 0.001, 200)
    before[3] = np.nan  # a query without a match
    change, (low, high) = paired_change(before, after, identities, 0)
    assert change == pytest.approx(np.nanmean(after - before) * 100)
    assert -1.05 < low < change < high < -0.95
    unpaired = np.nanstd(before) * 100 / np.sqrt(40)
    assert high - low < unpaired / 10


# Choosing


def effect(loss: float) -> Effect:
    return Effect(1.0, 1.0, 1.0, 50.0, 50.0 - loss, -loss, (-loss, -loss), 50.0, 50.0)


Losses = dict[str, float]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(0, 1), min_size=15, max_size=15),
    st.lists(st.floats(0.1, 5), min_size=15, max_size=15),
    st.floats(0, 3),
)
def test_a_choice_stays_within_the_budget_and_gives_up_no_more_than_it_must(
    costs: list[float], gains: list[float], budget: float
) -> None:
    cost, gain = (dict(zip(ENGINES, x, strict=True)) for x in (costs, gains))

    def judge(forms: Forms) -> dict[State, Effect]:
        return {
            state: effect(sum(cost[e] for e in plan(state).engines if forms[e] == "int8-avx2"))
            for state in STATES
        }

    candidates: dict[str, list[Form]] = {e: ["int8-avx2", "fp32"] for e in ENGINES}
    times: dict[str, dict[Form, float]] = {
        e: {"fp32": 10.0, "int8-avx2": 10.0 - gain[e]} for e in ENGINES
    }
    alone: dict[tuple[str, Form], dict[State, Effect]] = {
        (e, "int8-avx2"): judge({o: "int8-avx2" if o == e else "fp32" for o in ENGINES})
        for e in ENGINES
    }
    selection = select(candidates, times, alone, budget, judge)
    assert all(e.loss() <= budget for e in selection.effects.values())
    given_up = {e for e in ENGINES if selection.forms[e] == "fp32"}
    assert given_up == set(selection.reasons)
    everything = judge(dict.fromkeys(ENGINES, "int8-avx2"))
    if all(e.loss() <= budget for e in everything.values()):
        assert not given_up


def test_what_is_slower_than_fp32_is_no_choice() -> None:
    times: dict[Form, float] = {"fp32": 2.0, "fp16": 3.0, "int8-avx2": 1.0}
    assert fastest_first(["int8-avx2", "fp16", "fp32"], times) == ["int8-avx2", "fp32"]
    assert fastest_first(["int8-trt", "fp16", "fp32"], times) == ["int8-trt", "fp16", "fp32"]


# The whole


def test_a_calibrated_bundle_runs_in_each_precision(outcome: Outcome, data: Path) -> None:
    bundle = outcome.bundle
    assert bundle.manifest.default_precision == "mixed"
    assert bundle.manifest.variants == (
        "fp32",
        "fp16",
        "int8-avx2",
        "int8-trt",
        "mixed-avx2",
        "mixed-trt",
    )
    samples = [record.open() for record in open_data(data).train[:4]]
    with Runtime.load(bundle, "ort-cpu", "fp32") as exact:
        expected = exact.embed_batch(samples)
    for precision in ("fp16", "int8", "mixed", "auto"):
        with Runtime.load(bundle, "ort-cpu", precision, check=True) as runtime:
            found = runtime.embed_batch(samples)
            assert runtime.precision == ("mixed" if precision == "auto" else precision)
        assert min(cosine(a, b) for a, b in zip(found, expected, strict=True)) > 0.98


def test_the_evidence_is_in_the_manifest(outcome: Outcome) -> None:
    manifest = outcome.bundle.manifest
    assert manifest.calibration is not None
    assert manifest.calibration.samples == 20
    for target in ("avx2", "trt"):
        mixed = manifest.mixed[target]  # type: ignore[index]
        assert set(mixed.engines) == set(ENGINES)
        assert set(mixed.states) == {s.name for s in STATES}
        for state, evidence in mixed.states.items():
            mine = outcome.whole[f"mixed-{target}"][State.parse(state)]
            assert evidence.map == mine.map
            assert evidence.change is not None
            assert evidence.change[1] <= evidence.change[0] <= evidence.change[2]


def test_judged_accuracy_is_that_of_the_evaluation(outcome: Outcome) -> None:
    from denet.embed import BundleEmbedder
    from denet.evaluate import Split, evaluate_states

    split = Split(outcome.samples.judged.records, outcome.samples.judged.records)
    for precision, variant in (("fp32", "int8-avx2"), ("int8", "int8-avx2")):
        with Runtime.load(outcome.bundle, "ort-cpu", precision) as runtime:
            ranked = evaluate_states(BundleEmbedder(runtime), split)
        for state, ranking in ranked.items():
            judged = outcome.whole[variant][state]
            expected = judged.map_fp32 if precision == "fp32" else judged.map
            assert ranking.map == pytest.approx(expected, abs=0.3)


def test_a_choice_is_judged_as_the_same_forms_are_in_company(outcome: Outcome, data: Path) -> None:
    # A judge keeps what FP32 makes; a later choice must not be taken for it.
    def read(engine: str, form: Form) -> bytes:
        return outcome.bundle.read_engine(engine, form)

    judge = Judge(
        Engines(read, None),
        Head(outcome.bundle),
        outcome.samples.judged,
        labelled=True,
        batch=8,
        seed=0,
    )
    forms = all_in("int8-avx2")
    assert judge.judge({"fp32": all_in("fp32")})["fp32"][STATES[0]].cosine == 1
    for name in ("", "x"):
        assert judge.judge({name: forms})[name] == outcome.whole["int8-avx2"]


@pytest.mark.usefixtures("coarse")
def test_calibration_is_repeatable_bit_for_bit(
    bundle_path: Path, data: Path, tmp_path: Path
) -> None:
    request = Request(data=data, targets=("avx2",), precision="int8", budget=100.0, samples=16)
    made = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        root = copied(bundle_path, tmp_path / name)
        calibrate(root, request)
        made.append(contents(root))
    assert made[0] == made[1]


@pytest.mark.usefixtures("coarse")
def test_ranges_are_kept_for_the_same_samples_alone(
    outcome: Outcome, data: Path, tmp_path: Path
) -> None:
    root = copied(outcome.bundle.root, tmp_path)
    built = root / "trt" / "some-gpu" / "fp32" / "branch_rgb.engine"
    built.parent.mkdir(parents=True)
    built.write_bytes(b"an engine")
    request = replace(outcome.request, targets=("avx2",), precision="int8")
    again = calibrate(root, request)
    assert any("same samples: kept" in note for note in again.notes)
    assert again.bundle.manifest.variants == ("fp32", "int8-avx2")
    assert built.read_bytes() == b"an engine", "what was built of FP32 is still good"
    other = calibrate(root, replace(request, samples=18))
    assert not any("kept" in note for note in other.notes)


def test_a_table_made_elsewhere(outcome: Outcome, bundle_path: Path, tmp_path: Path) -> None:
    table = outcome.bundle.root / "calibration.json"
    root = copied(bundle_path, tmp_path)
    made = calibrate(root, replace(outcome.request, table=table, targets=("avx2",)))
    for engine in ENGINES:
        name: Form = "int8-avx2"
        assert made.bundle.read_engine(engine, name) == outcome.bundle.read_engine(engine, name)


@pytest.fixture
def rgb_and_tir(data: Path, tmp_path: Path) -> Path:
    root = Path(shutil.copytree(data, tmp_path / "poor", copy_function=os.link))
    shutil.rmtree(root / "train" / "NI")
    return root


@pytest.mark.usefixtures("coarse")
def test_a_modality_that_is_absent_altogether(
    rgb_and_tir: Path, bundle_path: Path, tmp_path: Path
) -> None:
    root = copied(bundle_path, tmp_path)
    made = calibrate(root, Request(data=rgb_and_tir, targets=("avx2",), budget=100.0, samples=16))
    unseen = [e for e in ENGINES if e.split("_")[1].partition("2")[0] == "nir"]
    assert unseen == ["branch_nir", "cmft_nir2rgb", "cmft_nir2tir", "dem_nir2rgb", "dem_nir2tir"]
    forms = made.bundle.manifest.mixed["avx2"].engines
    assert all(forms[e] == "fp32" for e in unseen)
    assert any("stays FP32: branch_nir" in note for note in made.notes)
    assert set(made.whole["mixed-avx2"]) == {s for s in STATES if "nir" not in s.available}
    with Runtime.load(made.bundle, "ort-cpu", "mixed", check=True) as runtime:
        image = np.zeros((64, 32, 3), np.uint8)
        assert np.isfinite(runtime.embed({"nir": image})).all()
    before = contents(root)
    with pytest.raises(CalibrationError, match="int8-avx2 cannot be had for branch_nir"):
        calibrate(
            root,
            Request(
                data=rgb_and_tir, targets=("avx2",), precision="int8", budget=100.0, samples=16
            ),
        )
    assert contents(root) == before


@pytest.fixture
def table(outcome: Outcome) -> Path:
    """Ranges, for tests that have no need to measure them."""
    return outcome.bundle.root / "calibration.json"


def test_samples_without_labels(data: Path, bundle_path: Path, table: Path, tmp_path: Path) -> None:
    root = copied(bundle_path, tmp_path)
    request = Request(data=data / "train", table=table, targets=("avx2",), budget=0.5)
    made = calibrate(root, request)
    assert not made.samples.labelled
    assert made.whole["int8-avx2"][STATES[0]].map is None
    assert made.budget == 0.5
    assert made.bundle.manifest.mixed["avx2"].states["rgb"].map is None


def test_another_set_can_judge(data: Path, bundle_path: Path, table: Path, tmp_path: Path) -> None:
    root = copied(bundle_path, tmp_path)
    request = Request(data=data, judge=data, table=table, targets=("avx2",), budget=100.0)
    made = calibrate(root, request)
    tested = {record.name for record in open_data(data).query}
    assert {record.name for record in made.samples.judged.records} == tested


def test_what_calibrates_and_what_judges_are_strangers(data: Path, bundle: Bundle) -> None:
    preprocess = Preprocessor(bundle.manifest.preprocessing)
    found = choose_samples(data, None, preprocess, 1000, 0)
    fitted = {r.identity for r in found.calibration.records}
    judged = {r.identity for r in found.judged.records}
    assert not fitted & judged
    assert (len(fitted), len(judged)) == (8, 4)
    train = {r.identity for r in open_data(data).train}
    assert fitted | judged == train, "never the test split"


# Refusals: one line, and the bundle as it was


@pytest.fixture
def untouched(bundle_path: Path, tmp_path: Path) -> Iterator[Path]:
    root = copied(bundle_path, tmp_path)
    before = contents(tmp_path)
    yield root
    assert {n: h for n, h in contents(tmp_path).items() if n in before} == before
    assert {p.name for p in tmp_path.iterdir() if p.name.startswith(".")} == set()


def run_refused(bundle: Path, data: Path, *words: str, **options: object) -> None:
    arguments = [x for k, v in options.items() for x in (f"--{k}", v)]
    refused(denet("calibrate", bundle, data, *arguments), *words)


def test_too_few_samples(untouched: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    write_synthetic(few, SyntheticConfig(identities=4, cameras=2, shots=2, height=64, width=32))
    run_refused(untouched, few, "8 samples", f"at least {LEAST}")


def test_data_without_a_training_split(untouched: Path, data: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(data, tmp_path / "test-only", copy_function=os.link))
    shutil.rmtree(root / "train")
    run_refused(untouched, root, "no training split")
    run_refused(untouched, tmp_path / "none", "none", "no such folder")


def test_black_images(untouched: Path, data: Path, tmp_path: Path) -> None:
    from PIL import Image

    root = Path(shutil.copytree(data, tmp_path / "black", copy_function=os.link))
    for path in (root / "train" / "TI").iterdir():
        path.unlink()
        Image.new("RGB", (32, 64)).save(path)
    run_refused(untouched, root, "TI", "single colour")


def test_a_damaged_image(untouched: Path, data: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(data, tmp_path / "damaged", copy_function=os.link))
    for path in (root / "train" / "RGB").iterdir():
        path.unlink()
        path.write_bytes(b"no image")
    run_refused(untouched, root, "RGB", "not an image")


def test_a_table_of_another_model(untouched: Path, outcome: Outcome, data: Path) -> None:
    table = read_table(outcome.bundle)
    assert table is not None
    path = untouched.parent / "other.json"
    path.write_bytes(msgspec.structs.replace(table, weights="0" * 64).encode())
    run_refused(untouched, data, "other.json", "other weights", table=path)
    path.write_bytes(msgspec.structs.replace(table, preprocessing="0" * 64).encode())
    run_refused(untouched, data, "other.json", "another preprocessing", table=path)
    path.write_text("{}")
    run_refused(untouched, data, "other.json", "not a calibration table", table=path)
    path.unlink()
    run_refused(untouched, data, "other.json", "cannot be read", table=path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"precision": "int4"}, ("int4", "auto, int8, fp16")),
        ({"target": "npu"}, ("npu", "vnni, avx2, trt")),
        ({"method": "guess"}, ("guess", "minmax")),
        ({"budget": "-1"}, ("-1", "between 0 and 100")),
    ],
)
def test_wrong_options(
    options: dict[str, str], words: tuple[str, ...], untouched: Path, data: Path
) -> None:
    run_refused(untouched, data, *words, **options)


def test_a_budget_that_cannot_be_kept(
    untouched: Path, data: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worse = Effect.loss
    monkeypatch.setattr(Effect, "loss", lambda self: worse(self) + 5 * (self.cosine < 1))
    run_refused(
        untouched,
        data,
        "int8-avx2 cannot be had",
        "0.5 mAP points",
        precision="int8",
        target="avx2",
        table=table,
    )


def test_a_full_disk(
    untouched: Path, data: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    words = ("No space left", "as it was")
    run_refused(untouched, data, *words, target="avx2", budget="100", table=table)


def test_int8_on_the_wrong_cpu(
    outcome: Outcome, untouched: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules["calibration.run"]
    monkeypatch.setattr(module, "cpu_targets", lambda: ("avx2",))
    run_refused(untouched, data, "no VNNI", target="vnni")
    only = Bundle.open(outcome.bundle.root)
    # A machine that has but a form for TensorRT falls back, and says so; by name it refuses.
    module = sys.modules["runtime.backends.choose"]
    monkeypatch.setattr(module, "cpu_targets", lambda: ("vnni",))
    with Runtime.load(only, "ort-cpu") as runtime:
        assert (runtime.precision, runtime.variant) == ("fp32", "fp32")
        assert "no mixed" in runtime.reason
    with pytest.raises(BackendError, match=r"int8.*fp16, fp32 can run here"):
        Runtime.load(only, "ort-cpu", "int8")


# Commands


@pytest.mark.usefixtures("coarse")
def test_export_and_calibration_in_one_go(
    checkpoint: Path, bundle: Bundle, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("export.bundle.check_parity", lambda *_, **__: [])
    monkeypatch.setattr("export.bundle.to_onnx", lambda g, _: bundle.read_engine(g.name, "fp32"))
    out = tmp_path / "m.denet"
    refused(denet("export", checkpoint, "--out", out, "--precision", "int8"), "--calibration-data")
    arguments = ("export", checkpoint, "--out", out, "--precision", "int8", "--target", "avx2")
    refused(denet(*arguments, "--calibration-data", tmp_path / "none"), "none", "no such folder")
    tight = denet(*arguments, "--calibration-data", data / "train", "--budget", "1")
    refused(tight, "budget of 0", "Nothing was written")
    assert not out.exists()
    done = denet(*arguments, "--calibration-data", data, "--budget", "100")
    assert done.exit_code == 0, done.output
    assert Bundle.open(out).manifest.variants == ("fp32", "int8-avx2")
    assert [p.name for p in tmp_path.iterdir()] == ["m.denet"]


def test_the_commands_take_the_new_precisions(outcome: Outcome, data: Path) -> None:
    root = outcome.bundle.root
    for precision in ("int8", "mixed"):
        done = denet("verify", root, "--backend", "ort-cpu", "--precision", precision, "--json")
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["precision"] == precision
    done = denet("eval", root, data, "--precision", "int8", "--backend", "ort-cpu", "--json")
    assert done.exit_code == 0, done.output
    facts = json.loads(denet("inspect", root, "--json").stdout)
    assert set(facts["engines"]["branch_rgb"]["bytes"]) == {"fp32", "fp16", "int8-avx2", "int8-trt"}
    assert denet("inspect", root).exit_code == 0
    refused(denet("verify", root, "--precision", "int4"), "int4", "can run here")


def test_calibrate_prints_and_reports(
    bundle_path: Path, data: Path, table: Path, tmp_path: Path
) -> None:
    root = copied(bundle_path, tmp_path)
    page = tmp_path / "page.html"
    arguments = ("calibrate", root, data, "--target", "avx2", "--budget", "100", "--table", table)
    done = denet(*arguments, "--report", page)
    assert done.exit_code == 0, done.output
    assert "runs in mixed from now on" in " ".join(done.stdout.split())
    assert re.search(r"[+-]?\d\.\d\d \([+-]?\d\.\d\d, ", done.stdout), "no column is hidden"
    assert "rgb+nir+tir" in page.read_text()
    refused(denet(*arguments, "--report", page), "page.html", "--force")
    done = denet(*arguments, "--json")
    assert json.loads(done.stdout)


def test_slim_keeps_one_precision(outcome: Outcome, data: Path, tmp_path: Path) -> None:
    whole = outcome.bundle
    sample = open_data(data).train[0].open()
    for variant, forms in (("int8-avx2", {"int8-avx2"}), ("fp32", {"fp32"})):
        out = tmp_path / f"{variant}.denet"
        made = slim(whole, out, variant)
        assert made.manifest.variants == (variant,)
        assert {f for e in made.manifest.engines.values() for f in e.files} == forms
        precision = variant.partition("-")[0]
        with (
            Runtime.load(made, "ort-cpu", check=True) as small,
            Runtime.load(whole, "ort-cpu", precision) as large,
        ):
            np.testing.assert_array_equal(small.embed(sample), large.embed(sample))
        with pytest.raises(BundleError, match="--force"):
            slim(whole, out, variant)
        slim(whole, out, variant, replace=True)
    size = sum(f.stat().st_size for f in (tmp_path / "int8-avx2.denet").rglob("*.onnx"))
    assert size < 0.35 * sum(f.stat().st_size for f in (tmp_path / "fp32.denet").rglob("*.onnx"))
    with pytest.raises(BundleError, match="has no 'int8-vnni', only fp32"):
        slim(whole, tmp_path / "x.denet", "int8-vnni")
    (tmp_path / "file").mkdir()
    with pytest.raises(BundleError, match="not a bundle"):
        slim(whole, tmp_path / "file", "fp32")
    done = denet("slim", whole.root, "--out", tmp_path / "cli.denet", "--precision", "int8-avx2")
    assert done.exit_code == 0, done.output


@pytest.mark.skipif("vnni" not in cpu_targets(), reason="this CPU has no VNNI")
def test_int8_with_vnni(bundle_path: Path, data: Path, table: Path, tmp_path: Path) -> None:
    root = copied(bundle_path, tmp_path)
    made = calibrate(root, Request(data=data, table=table, budget=100.0))
    assert "mixed-vnni" in made.bundle.manifest.variants
    with Runtime.load(made.bundle, "ort-cpu", check=True) as runtime:
        assert runtime.variant == "mixed-vnni"


def test_calibrating_takes_no_torch() -> None:
    program = (
        "import sys, calibration, calibration.report\n"
        "found = {'torch', 'torchvision'} & set(sys.modules)\n"
        "assert not found, found"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def modalities_of(states: tuple[State, ...]) -> set[Modality]:
    return {m for state in states for m in state.available}


def test_states_of_the_samples(data: Path, bundle: Bundle) -> None:
    assert modalities_of(chosen(data, bundle).states) == set(MODALITIES)
    assert chosen(data, bundle).states == STATES
