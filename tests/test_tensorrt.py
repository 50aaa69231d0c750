"""TensorRT's parser and compiler take every engine (needs a `tensorrt` that can build)."""

from __future__ import annotations

import pytest

from denet.graph import ENGINES, MAX_TARGETS, STACKED
from runtime import Bundle

pytestmark = pytest.mark.tensorrt


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_parses_and_builds_with_a_dynamic_batch(bundle: Bundle, engine: str) -> None:
    import tensorrt as trt

    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flags)
    parser = trt.OnnxParser(network, logger)
    parsed = parser.parse(bundle.read_engine(engine, "fp32"))
    assert parsed, [parser.get_error(i).desc() for i in range(parser.num_errors)]

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
