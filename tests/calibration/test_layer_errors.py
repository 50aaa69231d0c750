"""What quantizing one layer costs, against networks quantized by hand."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from calibration import Outcome
from calibration.errors import CalibrationError
from calibration.layer_errors import LayerErrors, quantized_layers
from runtime.backends.onnxruntime.providers import CPU
from runtime.backends.onnxruntime.session import Pool, open_session
from runtime.bundle.forms import Form

LAYERS = {"branch_tir": 12, "cmft_tir2rgb": 6, "dem_tir2rgb": 2}
"""At least so many are quantized."""


def run(model: bytes, inputs: dict[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    Pool.ensure(Pool.threads)
    session = open_session(model, CPU, "x", literal=True)
    found: list[NDArray[np.float32]] = session.run(None, inputs)
    return found


def drawn(model: bytes) -> dict[str, NDArray[np.float32]]:
    random = np.random.default_rng(0)
    sizes: dict[str, int] = {}
    return {
        each.name: random.standard_normal(
            [
                d.dim_value or sizes.setdefault(d.dim_param, 2)
                for d in each.type.tensor_type.shape.dim
            ]
        ).astype(np.float32)
        for each in onnx.load_from_string(model).graph.input
    }


@pytest.mark.parametrize("form", ["int8-avx2", "int8-trt"])
@pytest.mark.parametrize("engine", LAYERS)
def test_a_layer_alone_changes_the_engine_a_little_and_all_are_found(
    outcome: Outcome, engine: str, form: Form
) -> None:
    if engine.startswith("dem") and form == "int8-trt":
        pytest.skip("an edge's is its FP16")
    bundle = outcome.bundle
    exact, quantized = (bundle.read_engine(engine, each) for each in ("fp32", form))
    inputs = drawn(exact)
    expected, whole = run(exact, inputs), run(quantized, inputs)
    layers = quantized_layers(exact, quantized)
    assert len(layers) >= LAYERS[engine]
    assert len({layer.node for layer in layers}) == len(layers)
    errors = []
    for layer in layers:
        onnx.checker.check_model(onnx.load_from_string(layer.model))
        found = run(layer.model, inputs)
        errors.append(
            sum(float(np.square(a - b).sum()) for a, b in zip(found, expected, strict=True))
        )
    # Each does something, but where an untrained network begins with weights of zero.
    assert sum(error > 0 for error in errors) > len(errors) / 2
    of_all = sum(float(np.square(a - b).sum()) for a, b in zip(whole, expected, strict=True))
    # Independent errors add up to about that of all: nothing of it is left out or counted twice.
    assert of_all / 3 < sum(errors) < 3 * of_all


def test_a_convolution_is_quantized_as_its_form_says(outcome: Outcome) -> None:
    """The same layer by hand: scales of the TensorRT form on what it reads, and on its weights."""
    bundle = outcome.bundle
    exact, quantized = (bundle.read_engine("branch_tir", f) for f in ("fp32", "int8-trt"))
    graph = onnx.load_from_string(quantized).graph
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    model = onnx.load_from_string(exact)
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    weights = next(t for t in model.graph.initializer if t.name == first.input[1])
    scale = stored[f"{weights.name}_scale"]
    codes = np.clip(
        np.round(onnx.numpy_helper.to_array(weights) / scale[:, None, None, None]), -128, 127
    )
    weights.CopyFrom(
        onnx.numpy_helper.from_array(
            (codes * scale[:, None, None, None]).astype(np.float32), weights.name
        )
    )
    inputs = drawn(exact)
    step = stored["image_scale"]
    rounded = {"image": (np.clip(np.round(inputs["image"] / step), -128, 127) * step)}
    by_hand = run(model.SerializeToString(), {"image": rounded["image"].astype(np.float32)})
    layer = next(each for each in quantized_layers(exact, quantized) if each.node == first.name)
    assert layer.weights == "branch.backbone.network.conv1.0"
    assert layer.operator == "Conv"
    for mine, theirs in zip(run(layer.model, inputs), by_hand, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-4 * np.abs(theirs).max())


def test_a_report_ranks_the_layers_of_a_variant(outcome: Outcome) -> None:
    told: list[str] = []
    found = LayerErrors(outcome.bundle, "int8-trt", None, None).find(told.append)
    graph = outcome.bundle.graph
    assert found.samples == 2
    assert found.images == "golden inputs"
    assert found.whole.keys() == {state.name for state in graph.states}
    assert found.engines.keys() == set(graph.engines)
    assert not any(layer.engine.startswith("dem") for layer in found.layers)  # FP16 there
    errors = [layer.error for layer in found.layers]
    assert errors == sorted(errors, reverse=True)
    for layer in found.layers:
        assert layer.error == max(layer.states.values())
        states = {s.name for s in graph.states if layer.engine in graph.plan(s).engines}
        assert layer.states.keys() == states
    for engine, states in found.engines.items():
        alone = [layer for layer in found.layers if layer.engine == engine]
        for state, error in states.items() if alone else ():
            assert 0 < error < 10 * sum(layer.states[state] for layer in alone)
    assert len(told) == len(found.layers) + len(found.engines)


def test_what_has_no_layers_to_rank_is_refused(outcome: Outcome) -> None:
    with pytest.raises(CalibrationError, match="nothing is INT8 in fp16"):
        LayerErrors(outcome.bundle, "fp16", None, None)
