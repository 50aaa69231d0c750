"""FP16 engines."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto

from calibration.fp16 import fp16_engine, overflow
from calibration.ranges import Ranges
from runtime import Bundle
from tests.calibration.parts import KINDS


@pytest.mark.parametrize("engine", KINDS)
def test_half_is_half_within_and_single_without(bundle: Bundle, engine: str) -> None:
    model = onnx.load_from_string(fp16_engine(bundle.read_engine(engine, "fp32")))
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
