"""Proves from a parsed network that it computes in the precision that was asked for.

In a strongly typed network the types are those of the ONNX file, and TensorRT keeps to them, so
what is read here is what the engine gets. A convolution is int8 where both its input and its
weights are int8 that a DEQUANTIZE layer hands over: TensorRT makes one int8 kernel of the three.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import tensorrt as trt

from denet.graph import kind_of
from export.tensorrt.request import BuildError
from runtime.backends.tensorrt.files import Layers
from runtime.bundle.forms import Form
from runtime.bundle.manifest import Engine, TensorSpec

PRODUCTS = (
    trt.LayerType.CONVOLUTION,
    trt.LayerType.DECONVOLUTION,
    trt.LayerType.MATRIX_MULTIPLY,
)

FLOATS = {trt.DataType.FLOAT: "fp32", trt.DataType.HALF: "fp16"}


@dataclass(frozen=True)
class Product:
    """A convolution or matrix product: what it multiplies in, and a convolution's output maps."""

    name: str
    type: str
    maps: int | None


def products(network: Any) -> list[Product]:
    """All convolutions and matrix products of a network."""
    layers = [network.get_layer(i) for i in range(network.num_layers)]
    makers = {layer.get_output(i).name: layer for layer in layers for i in range(layer.num_outputs)}
    return [_product(layer, makers) for layer in layers if layer.type in PRODUCTS]


def count_layers(network: Any, found: Sequence[Product]) -> Layers:
    """For the facts of the engine."""
    types = [product.type for product in found]
    return Layers(
        all=network.num_layers,
        int8=types.count("int8"),
        fp16=types.count("fp16"),
        fp32=types.count("fp32"),
    )


def prove_precision(engine: str, form: Form, found: Sequence[Product]) -> None:
    """See that `found` is what `form` means.

    FP32 and FP16: every product. INT8 of branches and CMFTs: every convolution that makes more
    than one map; the one that makes a single map is a gate, and is left float. INT8 of edges is
    their FP16.

    Raises:
        BuildError: it is not; names the first layer that differs.
    """
    wanted = form.partition("-")[0]
    if wanted == "int8" and kind_of(engine) == "dem":
        wanted = "fp16"
    if wanted == "int8":
        judged = [p for p in found if p.maps is not None and (p.maps > 1 or p.type == "int8")]
    else:
        judged = list(found)
    if not judged:
        raise BuildError(f"{wanted} was asked for, but the network has no layer to be {wanted}")
    if wrong := [product for product in judged if product.type != wanted]:
        raise BuildError(
            f"{wanted} was asked for, but {len(wrong)} of {len(judged)} layers are not: "
            f"{wrong[0].name} is {wrong[0].type}"
        )


def check_signature(network: Any, engine: Engine) -> None:
    """See that inputs and outputs are what the manifest says, and that the batch is dynamic.

    Raises:
        BuildError: they are not.
    """
    inputs = [network.get_input(i) for i in range(network.num_inputs)]
    outputs = [network.get_output(i) for i in range(network.num_outputs)]
    for kind, tensors, specs in (
        ("inputs", inputs, engine.inputs),
        ("outputs", outputs, engine.outputs),
    ):
        names = [tensor.name for tensor in tensors]
        if sorted(names) != sorted(spec.name for spec in specs):
            raise BuildError(f"its {kind} are {', '.join(names)}, which the manifest does not say")
        by_name = {tensor.name: tensor for tensor in tensors}
        for spec in specs:
            _check_tensor(by_name[spec.name], spec)


def _check_tensor(tensor: Any, spec: TensorSpec) -> None:
    shape = tuple(tensor.shape)
    # What TensorRT cannot tell before it runs is -1, too; what must vary has to be.
    fits = len(shape) == len(spec.shape) and all(
        there == -1 or there == said for there, said in zip(shape, spec.shape, strict=True)
    )
    if not fits or FLOATS.get(tensor.dtype) != "fp32":
        raise BuildError(
            f"its {tensor.name} is {tensor.dtype.name} of shape {shape}, and the manifest says "
            f"{spec.dtype} of ({', '.join(map(str, spec.shape))})"
        )


def _product(layer: Any, makers: dict[str, Any]) -> Product:
    output = layer.get_output(0)
    convolution = layer.type != trt.LayerType.MATRIX_MULTIPLY
    return Product(
        name=layer.name,
        type="int8" if _is_int8(layer, makers) else _name(output.dtype),
        maps=output.shape[1] if convolution else None,
    )


def _is_int8(layer: Any, makers: dict[str, Any]) -> bool:
    factors = list(_factors(layer))
    return len(factors) == 2 and all(
        factor.name in makers
        and (maker := makers[factor.name]).type == trt.LayerType.DEQUANTIZE
        and maker.get_input(0).dtype == trt.DataType.INT8
        for factor in factors
    )


def _factors(layer: Any) -> Iterator[Any]:
    """What is multiplied, as far as it comes from other layers; a bias is no factor."""
    for index in range(min(2, layer.num_inputs)):
        if (tensor := layer.get_input(index)) is not None:
            yield tensor


def _name(dtype: Any) -> str:
    return FLOATS.get(dtype, str(dtype.name).lower())
