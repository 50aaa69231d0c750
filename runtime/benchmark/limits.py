"""What an engine must do: its operations and bytes, counted from its ONNX graph.

Counted are convolutions and matrix products, a multiplication and an addition as two operations,
as PyTorch's counter does. Everything else is cheap or fused. What must be moved is the weights
once, each input once and each output once; what stays inside the engine may stay in a cache.

Needs `onnx`, which a camera node does not have: it is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Literal

from denet.graph import State, plan
from runtime.benchmark.costs import Limit, Roofs
from runtime.benchmark.errors import BenchmarkError
from runtime.bundle.forms import Form
from runtime.bundle.manifest import Engine

if TYPE_CHECKING:
    import onnx

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Count:
    """What a graph does with inputs of given shapes.

    Attributes:
        flops: of convolutions and matrix products.
        weight_bytes: of its stored tensors, as they are stored.
        moved_bytes: of its inputs and outputs.
    """

    flops: int
    weight_bytes: int
    moved_bytes: int


def check_onnx() -> None:
    """See that graphs can be read.

    Raises:
        BenchmarkError: `onnx` is not installed.
    """
    try:
        import onnx  # noqa: F401
    except ModuleNotFoundError:
        raise BenchmarkError(
            "limits are counted from graphs, which needs onnx: pip install '.[bench]'"
        ) from None


def count(model: bytes, inputs: Mapping[str, Shape]) -> Count:
    """Count what a graph does.

    Args:
        model: a serialized ONNX model with all weights inside.
        inputs: the shape of each input.
    """
    import onnx

    graph = onnx.load_from_string(model)
    weights = {w.name: tuple(w.dims) for w in graph.graph.initializer}
    weight_bytes = sum(_bytes(w) for w in graph.graph.initializer)
    shapes = weights | _shapes(graph, inputs)
    flops = sum(_flops(node, shapes) for node in graph.graph.node)
    ends = [v for v in (*graph.graph.input, *graph.graph.output) if v.name not in weights]
    moved = sum(prod(shapes[v.name]) * _size(v.type.tensor_type.elem_type) for v in ends)
    return Count(flops, weight_bytes, moved)


def _shapes(model: onnx.ModelProto, inputs: Mapping[str, Shape]) -> dict[str, Shape]:
    """The shape of every value, inferred from those of the inputs."""
    import onnx

    known = onnx.ModelProto()
    known.CopyFrom(model)
    graph = known.graph
    del graph.value_info[:]
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    for value in graph.input:
        if value.name in inputs:
            value.CopyFrom(_value(value, inputs[value.name]))
    for node in graph.node:
        # A product of ONNX Runtime's own with packed weights, which `onnx` does not know: for its
        # shapes it is a product with a matrix (K, N).
        if node.op_type == "MatMulNBits":
            size = _attributes(node)
            matrix = onnx.helper.make_tensor_value_info(
                f"{node.output[0]}/matrix", onnx.TensorProto.FLOAT, (size["K"], size["N"])
            )
            graph.input.append(matrix)
            node.CopyFrom(
                onnx.helper.make_node("MatMul", [node.input[0], matrix.name], node.output)
            )
    inferred = onnx.shape_inference.infer_shapes(known, data_prop=True, strict_mode=True).graph
    return {
        value.name: tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
        for value in (*inferred.input, *inferred.value_info, *inferred.output)
    }


def _value(value: onnx.ValueInfoProto, shape: Shape) -> onnx.ValueInfoProto:
    import onnx

    kind = value.type.tensor_type.elem_type
    return onnx.helper.make_tensor_value_info(value.name, kind, shape)


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    import onnx

    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


def _flops(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> int:
    """The operations of a convolution or matrix product; 0 of anything else."""
    if node.op_type == "Conv":
        per_output = prod(shapes[node.input[1]][1:])  # channels of a group, and the kernel
        return 2 * prod(shapes[node.output[0]]) * per_output
    if node.op_type == "Gemm":
        rows, columns = shapes[node.output[0]]
        inner = prod(shapes[node.input[0]]) // rows
        return 2 * rows * columns * inner
    if node.op_type in ("MatMul", "MatMulNBits"):
        return 2 * prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]
    return 0


def _bytes(tensor: onnx.TensorProto) -> int:
    if tensor.raw_data:
        return len(tensor.raw_data)
    elements: int = prod(tensor.dims)
    return elements * _size(tensor.data_type)


def _size(element: int) -> int:
    """The bytes of an element of an ONNX type."""
    import onnx

    itemsize: int = onnx.helper.tensor_dtype_to_np_dtype(element).itemsize
    return itemsize


def engine_shapes(engine: Engine, batch: int, targets: int) -> dict[str, Shape]:
    """The shapes of an engine's inputs for a batch, and for so many targets of an edge."""
    sizes: dict[int | str, int] = {"B": batch, "T": targets}
    return {
        t.name: tuple(d if isinstance(d, int) else sizes[d] for d in t.shape) for t in engine.inputs
    }


def targets_in(engine: str, state: State) -> int:
    """How many vectors an edge enhances in one call in `state`; 1 for any other engine."""
    (call,) = (call for call in plan(state).calls if call.engine == engine)
    return max(len(values) for values in call.outputs.values())


def limit(done: Count, roofs: Roofs, precision: str, held: int, ms: float) -> Limit:
    """How fast this machine could be at best, and what share of that an engine reaches.

    Args:
        done: what the engine does.
        roofs: what the machine can do.
        precision: whose rate counts, of `roofs.rates`.
        held: bytes of all engines of the state, between two runs of this one: with few of them its
            weights stay in a cache.
        ms: what the engine takes.
    """
    rate = roofs.rates[precision]
    bandwidth = roofs.copies[nearest(list(roofs.copies), held)]
    compute = 1e3 * done.flops / rate
    memory = 1e3 * (done.weight_bytes + done.moved_bytes) / bandwidth
    bound: Literal["compute", "memory"] = "compute" if compute >= memory else "memory"
    least = max(compute, memory)
    return Limit(
        flops=done.flops,
        weight_bytes=done.weight_bytes,
        moved_bytes=done.moved_bytes,
        rate=rate,
        bandwidth=bandwidth,
        ms=least,
        bound=bound,
        share=least / ms if ms else 0.0,
    )


def nearest(sizes: Sequence[int], held: int) -> int:
    """The least of `sizes` that is not below `held`, or the largest."""
    return min((size for size in sizes if size >= held), default=max(sizes))


def rate_of(form: Form, *, on_cpu: bool) -> str | None:
    """The precision whose matrix rate bounds an engine in `form`; None where none can be measured.

    A CPU computes half in float. INT8 on a GPU is TensorRT's, and no product of two matrices.
    """
    if form == "fp32" or form == "fp16":
        return "fp32" if on_cpu else form
    return "int8" if on_cpu else None
