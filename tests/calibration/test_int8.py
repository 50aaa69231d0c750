"""INT8 engines against the textbook, numpy and ONNX Runtime."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from calibration import Outcome
from calibration.int8 import int8_edge, int8_engine
from calibration.ranges import Ranges
from calibration.table import read_table
from denet.graph import kind_of
from runtime import Bundle
from runtime.backends.onnxruntime.providers import CPU
from runtime.backends.onnxruntime.session import Pool, open_session
from tests.calibration.parts import ENGINES, cosine


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


@pytest.mark.parametrize("engine", [e for e in ENGINES if kind_of(e) != "dem"])
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
            and kind_of(engine) == "branch"
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
    assert "Relu" not in fused or kind_of(engine) == "branch"  # those of CBAM's vectors


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
    channels = bundle.manifest.channels
    feature = random.random((3, channels, 4, 2), np.float32)
    base = random.random((2, 3, channels), np.float32)
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
