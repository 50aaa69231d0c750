"""That a network has the precision and the signature that were asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import onnx
import pytest

from calibration import Outcome
from export.tensorrt.request import BuildError
from runtime.bundle.forms import Form
from tests.conftest import copied
from tests.export.tensorrt.parts import (
    BRANCH,
    CMFT,
    EDGE,
    FORMS,
    change_manifest,
    replace_model,
    request_for,
)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("engine", [BRANCH, CMFT, EDGE])
def test_the_precision_that_is_delivered_is_counted(
    engine: str, form: Form, outcome: Outcome, tmp_path: Path, worker: SimpleNamespace
) -> None:
    request = request_for(outcome.bundle.root, tmp_path, engine, form)
    layers = worker.builder.build(request, lambda _: None).layers
    products = (layers.int8, layers.fp16, layers.fp32)
    edge = engine == EDGE
    if form == "fp32":
        assert products[:2] == (0, 0)
    elif form == "fp16" or edge:
        assert (products[0], products[2]) == (0, 0)
    else:
        gates = {BRANCH: 1, CMFT: 0}[engine]
        model = onnx.load_from_string(outcome.bundle.read_engine(engine, form))
        convolutions = sum(node.op_type == "Conv" for node in model.graph.node)
        assert layers.int8 == convolutions - gates > 0
    assert sum(products) > 0
    assert layers.all >= sum(products)


def with_forms(outcome: Outcome, tmp_path: Path, engine: str, form: Form, instead: Form) -> Path:
    """A bundle whose `form` of an engine is really `instead`, as a faulty quantizer makes it."""
    root = copied(outcome.bundle.root, tmp_path)
    files = msgspec.to_builtins(outcome.bundle.manifest.engines[engine].files)
    change_manifest(root, lambda m: m["engines"][engine]["files"].update({form: files[instead]}))
    return root


@pytest.mark.parametrize(
    ("engine", "form", "instead", "reason"),
    [
        (BRANCH, "fp16", "fp32", "fp16 was asked for, but 17 of 17 layers are not: .* is fp32"),
        (BRANCH, "fp32", "fp16", "fp32 was asked for, but .* is fp16"),
        (BRANCH, "int8-trt", "fp32", "int8 was asked for, but 12 of 12 layers are not: .* fp32"),
        (CMFT, "int8-trt", "fp16", "int8 was asked for, but 7 of 7 layers are not: .* is fp16"),
        (EDGE, "int8-trt", "fp32", "fp16 was asked for, but 7 of 7 layers are not"),
        (BRANCH, "fp32", "int8-trt", "fp32 was asked for, but 12 of .* is int8"),
    ],
)
def test_a_precision_that_is_not_delivered_is_an_error(
    engine: str,
    form: Form,
    instead: Form,
    reason: str,
    outcome: Outcome,
    tmp_path: Path,
    worker: SimpleNamespace,
) -> None:
    root = with_forms(outcome, tmp_path, engine, form, instead)
    with pytest.raises(BuildError, match=reason):
        worker.builder.build(request_for(root, tmp_path, engine, form), lambda _: None)
    assert not (tmp_path / "out.engine").exists()


def test_one_float_convolution_among_int8_ones_is_an_error(worker: SimpleNamespace) -> None:
    product, prove = worker.proof.Product, worker.proof.prove_precision
    good = [product("a", "int8", 64), product("gate", "fp32", 1), product("mlp", "fp32", None)]
    prove(BRANCH, "int8-trt", good)
    with pytest.raises(BuildError, match="1 of 2 layers are not: b is fp32"):
        prove(BRANCH, "int8-trt", [*good, product("b", "fp32", 64)])
    with pytest.raises(BuildError, match="no layer to be int8"):
        prove(BRANCH, "int8-trt", good[1:])
    with pytest.raises(BuildError, match="no layer to be fp32"):
        prove(BRANCH, "fp32", [])
    with pytest.raises(BuildError, match="a is bf16"):
        prove(BRANCH, "fp16", [product("a", "bf16", 64)])


def test_int8_weights_alone_are_not_int8(worker: SimpleNamespace) -> None:
    trt, proof = worker.fake, worker.proof

    def layer(kind: Any, name: str, inputs: list[Any], dtype: Any = trt.DataType.FLOAT) -> Any:
        output = SimpleNamespace(name=f"{name}_out", dtype=dtype, shape=(-1, 8, 4, 4))
        return SimpleNamespace(
            name=name,
            type=kind,
            num_inputs=len(inputs),
            num_outputs=1,
            get_input=inputs.__getitem__,
            get_output=lambda _: output,
        )

    def is_int8(*inputs: Any) -> bool:
        product = layer(trt.LayerType.CONVOLUTION, "conv", list(inputs))
        layers = [int8, other, float8, product]
        network = SimpleNamespace(num_layers=len(layers), get_layer=layers.__getitem__)
        (found,) = proof.products(network)
        assert found.maps == 8
        return bool(found.type == "int8")

    quantized = SimpleNamespace(name="q", dtype=trt.DataType.INT8)
    int8 = layer(trt.LayerType.DEQUANTIZE, "int8", [quantized])
    float8 = layer(trt.LayerType.DEQUANTIZE, "fp8", [SimpleNamespace(name="q8", dtype="FP8")])
    other = layer(trt.LayerType.OTHER, "relu", [])
    x, w, f = int8.get_output(0), other.get_output(0), float8.get_output(0)
    image = SimpleNamespace(name="image", dtype=trt.DataType.FLOAT)
    assert is_int8(x, x)
    assert is_int8(x, x, w)  # a float bias
    for factors in ((x,), (x, None), (w, x), (x, w), (image, x), (f, x)):
        assert not is_int8(*factors)


def rename(model: onnx.ModelProto, old: str, new: str) -> None:
    for value in (*model.graph.input, *model.graph.output):
        value.name = new if value.name == old else value.name
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]


def narrower(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[3].dim_value = 31


def flat(model: onnx.ModelProto) -> None:
    del model.graph.input[0].type.tensor_type.shape.dim[3]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda model: rename(model, "image", "picture"),
            "its inputs are picture, which the manifest does not say",
        ),
        (
            lambda model: rename(model, "pooled", "pool"),
            "its outputs are feature, pool, which the manifest",
        ),
        (narrower, r"image is FLOAT of shape \(-1, 3, 64, 31\)"),
        (flat, r"image is FLOAT .* float32 of \(B, 3, 64, 32\)"),
    ],
)
def test_a_signature_that_is_not_the_manifests_is_refused(
    change: Callable[[onnx.ModelProto], None],
    reason: str,
    root: Path,
    tmp_path: Path,
    worker: SimpleNamespace,
) -> None:
    model = onnx.load_model(root / "onnx" / "fp32" / f"{BRANCH}.onnx")
    change(model)
    replace_model(root, BRANCH, model.SerializeToString())
    with pytest.raises(BuildError, match=reason):
        worker.builder.build(request_for(root, tmp_path, BRANCH), lambda _: None)


def test_a_frozen_batch_is_refused(root: Path, tmp_path: Path, worker: SimpleNamespace) -> None:
    path = root / "onnx" / "fp32" / f"{CMFT}.onnx"
    model = onnx.load_model(path)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    replace_model(root, CMFT, model.SerializeToString())
    with pytest.raises(BuildError, match=r"feature is FLOAT of shape \(1, 512.*\(B, 512, 4, 2\)"):
        worker.builder.build(request_for(root, tmp_path, CMFT), lambda _: None)
