"""What engines must do, counted from their graphs, against hand counts and PyTorch's counter."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.utils.flop_counter import FlopCounterMode

from calibration import Outcome
from denet.graph import RGB_NIR_TIR
from denet.model import DENet
from export.engines import engine_graphs
from runtime import Bundle, Runtime
from runtime.backends.onnxruntime.providers import CPU
from runtime.benchmark import roofs
from runtime.benchmark.bound import Bound
from runtime.benchmark.costs import Roofs
from runtime.benchmark.errors import BenchmarkError
from runtime.benchmark.limits import (
    Count,
    check_onnx,
    count,
    engine_shapes,
    limit,
    nearest,
    rate_of,
    targets_in,
)
from tests.conftest import SMALL
from tests.runtime.benchmark.clock import Tick

COMPLETE = RGB_NIR_TIR.complete
ENGINES = RGB_NIR_TIR.engines


def model_of(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, list[int | str]],
    output: tuple[str, list[int | str]],
    weights: dict[str, np.ndarray[Any, Any]],
) -> bytes:
    def value(name: str, shape: list[int | str]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        nodes,
        "g",
        [value(name, shape) for name, shape in inputs.items()],
        [value(*output)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    return bytes(model.SerializeToString())


def floats(*shape: int) -> np.ndarray[Any, Any]:
    return np.zeros(shape, np.float32)


def test_a_convolution_by_hand() -> None:
    # 3x3, stride 2, padding 1, 8 -> 16 channels on 10x6: 5x3 outputs of 16 channels, each of
    # 8 * 9 products, for each of two samples.
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], strides=[2, 2], pads=[1, 1, 1, 1])
    weights = {"w": floats(16, 8, 3, 3), "b": floats(16)}
    model = model_of([node], {"x": ["B", 8, 10, 6]}, ("y", ["B", 16, 5, 3]), weights)
    found = count(model, {"x": (2, 8, 10, 6)})
    assert found.flops == 2 * (2 * 16 * 5 * 3) * (8 * 9)
    assert found.weight_bytes == 4 * (16 * 8 * 9 + 16)
    assert found.moved_bytes == 4 * (2 * 8 * 10 * 6 + 2 * 16 * 5 * 3)


def test_a_convolution_in_groups_has_fewer_products() -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], group=4)
    model = model_of([node], {"x": [1, 8, 4, 4]}, ("y", [1, 12, 2, 2]), {"w": floats(12, 2, 3, 3)})
    assert count(model, {"x": (1, 8, 4, 4)}).flops == 2 * (12 * 2 * 2) * (2 * 9)


@pytest.mark.parametrize("transposed", [0, 1])
def test_a_matrix_product_with_a_sum_by_hand(transposed: int) -> None:
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=transposed)
    weight = floats(7, 5) if transposed else floats(5, 7)
    model = model_of([node], {"x": ["B", 5]}, ("y", ["B", 7]), {"w": weight, "b": floats(7)})
    assert count(model, {"x": (3, 5)}).flops == 2 * 3 * 5 * 7


def test_matrix_products_in_a_batch_by_hand() -> None:
    node = helper.make_node("MatMul", ["x", "z"], ["y"])
    inputs: dict[str, list[int | str]] = {"x": ["T", "B", 4, 5], "z": ["T", "B", 5, 6]}
    model = model_of([node], inputs, ("y", ["T", "B", 4, 6]), {})
    found = count(model, {"x": (2, 3, 4, 5), "z": (2, 3, 5, 6)})
    assert found.flops == 2 * (2 * 3) * 4 * 5 * 6
    assert found.weight_bytes == 0


def test_what_is_no_product_counts_nothing() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("Add", ["r", "x"], ["y"]),
    ]
    assert count(model_of(nodes, {"x": [1, 9]}, ("y", [1, 9]), {}), {"x": (1, 9)}).flops == 0


def uncounted(engine: str, vectors: int) -> int:
    """What PyTorch's counter leaves out: b_k . q of an edge, a product with a single vector."""
    return 2 * SMALL.dem_channels * vectors if engine.startswith("dem") else 0


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_counts_as_pytorch_counted_it(bundle: Bundle, engine: str) -> None:
    spec = bundle.manifest.engines[engine]
    found = count(bundle.read_engine(engine, "fp32"), engine_shapes(spec, batch=1, targets=1))
    assert found.flops == spec.flops + uncounted(engine, 1)
    moved = sum(
        prod(d if isinstance(d, int) else 1 for d in t.shape) for t in (*spec.inputs, *spec.outputs)
    )
    assert found.moved_bytes == 4 * moved
    # The file holds the weights, and little else.
    assert 0.9 * spec.files["fp32"].bytes < found.weight_bytes <= spec.files["fp32"].bytes


@pytest.mark.parametrize(("engine", "targets"), [("branch_nir", 1), ("dem_rgb2nir", 2)])
def test_a_batch_counts_as_pytorch_counts_it(
    model: DENet, bundle: Bundle, engine: str, targets: int
) -> None:
    graph = next(graph for graph in engine_graphs(model) if graph.name == engine)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        graph.module(**graph.example(3, targets))
    shapes = engine_shapes(bundle.manifest.engines[engine], batch=3, targets=targets)
    found = count(bundle.read_engine(engine, "fp32"), shapes)
    assert found.flops == counter.get_total_flops() + uncounted(engine, 3 * targets)


@pytest.mark.parametrize("engine", ["branch_rgb", "cmft_rgb2nir", "dem_rgb2nir"])
def test_int8_does_the_same_with_fewer_bytes(outcome: Outcome, engine: str) -> None:
    bundle = outcome.bundle
    shapes = engine_shapes(bundle.manifest.engines[engine], batch=1, targets=1)
    real = count(bundle.read_engine(engine, "fp32"), shapes)
    reduced = count(bundle.read_engine(engine, "int8-avx2"), shapes)
    assert reduced.flops == real.flops
    assert reduced.moved_bytes == real.moved_bytes
    if not engine.startswith("dem"):  # so few channels do not fill the blocks of an edge
        assert 0.2 < reduced.weight_bytes / real.weight_bytes < 0.4


def test_the_targets_of_an_edge_are_those_of_the_plan() -> None:
    assert targets_in(RGB_NIR_TIR, "dem_rgb2nir", COMPLETE) == 2  # the real and the recovered NIR
    assert targets_in(RGB_NIR_TIR, "dem_nir2rgb", COMPLETE) == 1
    assert targets_in(RGB_NIR_TIR, "branch_rgb", COMPLETE) == 1
    assert targets_in(RGB_NIR_TIR, "cmft_tir2rgb", RGB_NIR_TIR.parse("tir")) == 1
    with pytest.raises(ValueError, match="not enough values"):
        targets_in(RGB_NIR_TIR, "branch_rgb", RGB_NIR_TIR.parse("tir"))


ROOFS = Roofs(rates={"fp32": 100e9, "int8": 400e9}, copies={2**20: 50e9, 2**26: 10e9})


def test_a_limit_is_the_longer_of_computing_and_moving() -> None:
    compute = limit(Count(10**9, 10**6, 0), ROOFS, "fp32", held=2**30, ms=20.0)
    assert compute.bound == "compute"
    assert compute.ms == pytest.approx(10.0)  # 1e9 at 100e9 a second
    assert compute.share == pytest.approx(0.5)
    memory = limit(Count(10**6, 9 * 10**6, 10**6), ROOFS, "int8", held=2**30, ms=4.0)
    assert memory.bound == "memory"
    assert memory.ms == pytest.approx(1.0)  # 10e6 bytes at 10e9 a second
    assert memory.share == pytest.approx(0.25)
    cached = limit(Count(10**6, 9 * 10**6, 10**6), ROOFS, "int8", held=2**19, ms=4.0)
    assert cached.ms == pytest.approx(0.2)  # few engines: their weights stay in a cache


def test_the_bandwidth_is_that_of_as_many_bytes_or_of_the_most() -> None:
    sizes = [1, 4, 16]
    assert [nearest(sizes, held) for held in (0, 1, 2, 4, 5, 16, 17)] == [1, 1, 4, 4, 16, 16, 16]


def test_each_form_has_the_rate_of_what_computes_it() -> None:
    assert rate_of("fp32", on_cpu=True) == rate_of("fp16", on_cpu=True) == "fp32"
    assert rate_of("int8-vnni", on_cpu=True) == rate_of("int8-avx2", on_cpu=True) == "int8"
    assert rate_of("fp16", on_cpu=False) == "fp16"
    assert rate_of("int8-trt", on_cpu=False) is None


@pytest.fixture
def small_roofs(monkeypatch: pytest.MonkeyPatch, runtime: Runtime) -> None:
    # The runtime has made the thread pool.
    monkeypatch.setattr(roofs, "SIDE", 64)
    monkeypatch.setattr(roofs, "SECONDS", 1.0)
    monkeypatch.setattr(roofs, "COPIES", (2**20, 2**22))


@pytest.mark.usefixtures("small_roofs")
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_matrix_rate_is_that_of_a_product(precision: str) -> None:
    model, x, y = roofs._product(precision)
    (weights,) = onnx.load_from_string(model).graph.initializer
    bound = Bound(model, CPU, "product", {"x": x}, {"y": y})
    bound.run()
    expected = x.astype(np.float64) @ numpy_helper.to_array(weights).astype(np.float64)
    assert np.allclose(bound.output("y"), expected, rtol=1e-4, atol=1e-3)
    assert roofs.matrix_rate(precision, CPU, Tick(0.5)) == pytest.approx(2 * 64**3 / 0.5)


@pytest.mark.usefixtures("small_roofs")
@pytest.mark.parametrize("threads", [1, 3])
def test_the_bandwidth_of_a_copy_counts_what_is_read_and_written(threads: int) -> None:
    assert roofs.copy_rate(2**20, CPU, threads, Tick(0.5)) == pytest.approx(16 * 2**20 / 0.5)
    assert roofs.copy_rate(2**25, CPU, threads, Tick(0.5)) == pytest.approx(2**25 / 0.5)


@pytest.mark.usefixtures("small_roofs")
def test_the_best_time_counts_not_the_first() -> None:
    clock = Tick()
    taken = iter([5.0, 0.4, 0.2, 0.3, 0.4])  # the first warms up; the rest lasts a second
    assert roofs._best(clock.side(lambda: next(taken)), clock) == pytest.approx(0.2)
    assert next(taken, None) is None


@pytest.mark.usefixtures("small_roofs")
def test_roofs_are_measured_in_the_precisions_that_are_asked_for() -> None:
    told: list[str] = []
    found = roofs.measure_roofs(["fp32"], CPU, 2, Tick(1.0), told.append)
    assert list(found.rates) == ["fp32"]
    assert list(found.copies) == list(roofs.COPIES)
    assert len(told) == 1 + len(roofs.COPIES)


def test_without_onnx_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    check_onnx()
    real: Callable[..., Any] = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "onnx":
            raise ModuleNotFoundError("No module named 'onnx'", name="onnx")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(BenchmarkError, match=r"'\.\[bench\]'"):
        check_onnx()
