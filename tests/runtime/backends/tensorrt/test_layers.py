"""What TensorRT's inspector says of layers, in the words of several releases."""

from __future__ import annotations

import json

import pytest

from runtime.backends.tensorrt.layers import read_operators


def test_the_type_is_that_of_the_first_output() -> None:
    text = json.dumps(
        {
            "Layers": [
                {
                    "Name": "conv",
                    "LayerType": "CaskConvolution",
                    "Inputs": [{"Format/Datatype": "Row major linear FP32"}],
                    "Outputs": [{"Format/Datatype": "Thirty-two wide channel Int8 format"}],
                },
                {"Name": "fused", "LayerType": "kgen", "Outputs": [{"Format/Datatype": "Half"}]},
                {"Name": "gemm", "LayerType": "gemm", "Outputs": [{"DataType": "Float"}]},
                {"Name": "shape", "LayerType": "Shape"},
                "a layer whose details were not kept",
            ]
        }
    )
    assert read_operators(text) == {
        "conv": "CaskConvolution int8",
        "fused": "kgen fp16",
        "gemm": "gemm fp32",
        "shape": "Shape",
    }


@pytest.mark.parametrize("text", ["", "[]", "{}", "[1", '{"Layers": [1, "x"]}'])
def test_what_is_not_understood_is_left_out(text: str) -> None:
    assert read_operators(text) == {}
