"""One engine -> one ONNX model."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence

import onnx
import torch
from torch import Tensor, nn
from torch.export import Dim

from denet.graph import MAX_TARGETS
from export.engines import BATCH, PLATFORMS, EngineGraph, Shape

OPSET = 20

MAX_BATCH = 1024


Kind = tuple[object, ...]
"""What engines have in common that differ in nothing but the values of their weights."""

Traced = dict[Kind, torch.onnx.ONNXProgram]


def to_onnx(graph: EngineGraph, traced: Traced) -> bytes:
    """The engine as a serialized ONNX model; see `to_onnx_model`.

    Args:
        graph: the engine.
        traced: the programs of other engines, which this one is added to. Tracing takes most of
            an export, and the engines are of three kinds: of each kind one is traced, and the
            others put their weights into its program.

    Raises:
        AssertionError, onnx.checker.ValidationError: as `to_onnx_model` does.
        KeyError: a weight is neither a parameter nor a buffer, so engines cannot differ in it.
    """
    kind = _kind(graph)
    if kind not in traced:
        # Batch 3: an axis of the same size as the targets would be taken for the targets.
        example = graph.example(batch=3, targets=MAX_TARGETS)
        traced[kind] = _trace(graph.module, example, graph.inputs, graph.outputs)
    program = torch.onnx.ONNXProgram(traced[kind].model.clone(), None)
    tensors = _tensors(graph.module)
    program.apply_weights({name: tensors[name] for name in program.model.graph.initializers})
    return _finish(program, graph.name, graph.inputs, graph.outputs)


def to_onnx_model(
    module: nn.Module,
    example: Mapping[str, Tensor],
    inputs: Mapping[str, Shape],
    outputs: Mapping[str, Shape],
    *,
    name: str = "denet",
) -> bytes:
    """A module as a serialized ONNX model, weights inside.

    Batch and targets are dynamic axes, batch normalization is folded into the convolutions, and
    the bytes depend on the weights alone: what the exporter notes about itself and about its
    source files is removed.

    Args:
        module: in evaluation mode; takes `inputs` by name and returns `outputs` in order.
        example: tensors for `inputs`, with a different size for each dynamic axis.
        inputs: names and shapes, with "B" and "T" for the dynamic axes.
        outputs: likewise.
        name: that the graph has in it.

    Raises:
        AssertionError: the exporter changed a name or froze a dynamic axis.
        onnx.checker.ValidationError: the exporter made an invalid model.
    """
    return _finish(_trace(module, example, inputs, outputs), name, inputs, outputs)


def _trace(
    module: nn.Module,
    example: Mapping[str, Tensor],
    inputs: Mapping[str, Shape],
    outputs: Mapping[str, Shape],
) -> torch.onnx.ONNXProgram:
    """What the module computes, operation by operation, before anything is folded."""
    dims = {
        BATCH: Dim("batch", min=1, max=MAX_BATCH),
        PLATFORMS: Dim("targets", min=1, max=MAX_TARGETS),
    }
    dynamic = {
        name: {axis: dims[d] for axis, d in enumerate(shape) if isinstance(d, str)}
        for name, shape in inputs.items()
    }
    with _quiet():
        program = torch.onnx.export(
            module,
            kwargs=dict(example),
            dynamo=True,
            dynamic_shapes=dynamic,
            input_names=list(inputs),
            output_names=list(outputs),
            opset_version=OPSET,
            external_data=False,
            verbose=False,
            optimize=False,
        )
    assert program is not None
    return program


def _finish(
    program: torch.onnx.ONNXProgram,
    name: str,
    inputs: Mapping[str, Shape],
    outputs: Mapping[str, Shape],
) -> bytes:
    with _quiet():
        program.optimize()
    model = program.model_proto
    _strip(model)
    model.graph.name = name  # by which a runtime knows an engine in another's place
    onnx.checker.check_model(model, full_check=True)
    _check_signature(model.graph.input, inputs)
    _check_signature(model.graph.output, outputs)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _kind(graph: EngineGraph) -> Kind:
    """Equal for engines whose programs differ in nothing but weights: the same layers with the
    same settings (which is what a module says of itself), and tensors alike."""
    return (
        repr(graph.module),
        tuple(graph.inputs.items()),
        tuple(graph.outputs.items()),
        tuple((name, t.shape, t.dtype) for name, t in _tensors(graph.module).items()),
    )


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _strip(model: onnx.ModelProto) -> None:
    """Remove notes on the exporter, its source lines and the machine it ran on."""
    del model.metadata_props[:]
    model.doc_string = ""
    model.producer_name, model.producer_version = "denet", ""
    graph = model.graph
    graph.doc_string = ""
    del graph.metadata_props[:]
    del graph.value_info[:]
    for item in [*graph.node, *graph.input, *graph.output, *graph.initializer]:
        del item.metadata_props[:]
        item.doc_string = ""


def _check_signature(values: Sequence[onnx.ValueInfoProto], expected: Mapping[str, Shape]) -> None:
    """See that the exporter kept the names, and that it froze no dynamic axis."""
    if [value.name for value in values] != list(expected):
        raise AssertionError(f"exported {[v.name for v in values]}, not {list(expected)}")
    for value in values:
        dims = value.type.tensor_type.shape.dim
        have = [d.dim_value if d.HasField("dim_value") else d.dim_param for d in dims]
        want = expected[value.name]
        if [isinstance(d, str) or d for d in have] != [isinstance(d, str) or d for d in want]:
            raise AssertionError(f"{value.name} was exported as {have}, not {list(want)}")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the exporter prints, logs and warns about itself; errors still come through."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
