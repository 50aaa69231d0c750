"""TensorRT's parser and compiler take every engine (needs a `tensorrt` that can build)."""

from __future__ import annotations

import pytest

from calibration import Outcome
from denet.graph import ENGINES, MAX_TARGETS, STACKED
from runtime import Bundle
from runtime.forms import Form

pytestmark = pytest.mark.tensorrt


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_parses_and_builds_with_a_dynamic_batch(bundle: Bundle, engine: str) -> None:
    build(bundle, engine, "fp32")


@pytest.mark.parametrize("form", ["fp16", "int8-trt"])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_reduced_form_parses_and_builds(outcome: Outcome, engine: str, form: Form) -> None:
    build(outcome.bundle, engine, form)


def build(bundle: Bundle, engine: str, form: Form) -> None:
    """Parse and build an engine with a dynamic batch, and see that its layers are what it says."""
    import tensorrt as trt

    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flags)
    parser = trt.OnnxParser(network, logger)
    parsed = parser.parse(bundle.read_engine(engine, form))
    assert parsed, [parser.get_error(i).desc() for i in range(parser.num_errors)]
    kinds = [network.get_layer(i).type for i in range(network.num_layers)]
    types = {
        network.get_layer(i).get_output(0).dtype
        for i in range(network.num_layers)
        if network.get_layer(i).type in (trt.LayerType.CONVOLUTION, trt.LayerType.MATRIX_MULTIPLY)
    }
    if form == "fp16" or engine.startswith("dem"):
        assert types == {trt.float32 if form == "fp32" else trt.float16}
    quantized = form == "int8-trt" and not engine.startswith("dem")
    assert (trt.LayerType.QUANTIZE in kinds) == quantized

    profile = builder.create_optimization_profile()
    for tensor in bundle.manifest.engines[engine].inputs:
        targets = MAX_TARGETS if tensor.name in STACKED else 1
        shapes = [
            [{"B": batch, "T": min(batch, targets)}.get(str(d), d) for d in tensor.shape]
            for batch in (1, 4, 16)
        ]
        profile.set_shape(tensor.name, *shapes)
    config = builder.create_builder_config()
    config.add_optimization_profile(profile)
    assert builder.build_serialized_network(network, config) is not None
