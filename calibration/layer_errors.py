"""What quantizing a single layer of an engine does to embeddings, everything else left in FP32.

The layer is taken from the engine's INT8 form and put into its FP32 graph: the pairs of quantize
and dequantize on what it reads, and its weights as they are stored there. A layer is any node that
reads something quantized, so each pair counts where it is read; errors of the layers of an engine
add up to about that of the engine, as long as they are small.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from calibration.errors import CalibrationError
from calibration.replay import Replay, ReplayEngines, all_in
from denet.graph import Modality, State
from runtime.bundle.bundle import Bundle
from runtime.bundle.forms import PLATFORMS, PRECISIONS, Form, Forms, variant
from runtime.canary import read_golden
from runtime.cosine import row_cosines
from runtime.head import Head
from runtime.preprocess import Preprocessor
from runtime.profile.result import ErrorReport, LayerError
from runtime.samples import find_samples

MOST_SAMPLES = 16
"""Images of a folder that are embedded: errors of this kind differ little from sample to sample."""

BLOCKS = "MatMulNBits"
"""The operator whose weights, and what it reads, are quantized without a node that says so."""

_QUANTIZE, _DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"

Notify = Callable[[str], None]

Embeddings = dict[State, NDArray[np.float32]]


@dataclass(frozen=True)
class QuantizedLayer:
    """A node of an INT8 engine that reads something quantized.

    Attributes:
        node: its name, which is that of the node in the FP32 engine.
        operator: there.
        weights: the name of its weights, without what all of them end in; "" without any.
        model: the FP32 engine with this layer quantized.
    """

    node: str
    operator: str
    weights: str
    model: bytes


def quantized_layers(exact: bytes, quantized: bytes) -> list[QuantizedLayer]:
    """The layers of an engine, in the order of its graph.

    Args:
        exact: the engine in FP32.
        quantized: in INT8, made of it by `calibration.int8`.
    """
    graph = onnx.load_from_string(exact).graph
    known = {node.name: node for node in graph.node}
    weights = {tensor.name for tensor in graph.initializer}
    return [
        QuantizedLayer(
            name,
            known[name].op_type,
            next((n.removesuffix(".weight") for n in known[name].input if n in weights), ""),
            _with_layer(exact, onnx.load_from_string(quantized).graph, name),
        )
        for name in _quantized_nodes(onnx.load_from_string(quantized).graph, known)
    ]


def _quantized_nodes(graph: onnx.GraphProto, known: Mapping[str, onnx.NodeProto]) -> list[str]:
    """The names, in the exact graph, of the nodes of `graph` that read something quantized."""
    made = {name for n in graph.node if n.op_type == _DEQUANTIZE for name in n.output}
    outputs = {node.output[0]: name for name, node in known.items()}
    found = []
    for node in graph.node:
        if node.op_type == BLOCKS:
            found.append(outputs[node.output[0]])  # it has another name than the product had
        elif node.op_type not in (_QUANTIZE, _DEQUANTIZE) and made & set(node.input):
            found.append(node.name)
    return found


def _with_layer(exact: bytes, quantized: onnx.GraphProto, name: str) -> bytes:
    """The exact engine with one node as the quantized one has it."""
    model = onnx.load_from_string(exact)
    graph = model.graph
    place = next(i for i, node in enumerate(graph.node) if node.name == name)
    mine = graph.node[place]
    theirs = next(
        node
        for node in quantized.node
        if (node.op_type == BLOCKS and node.output[0] == mine.output[0]) or node.name == name
    )
    makers = {output: node for node in quantized.node for output in node.output}
    stored = {tensor.name: tensor for tensor in quantized.initializer}
    added: list[onnx.NodeProto] = []
    taken: dict[str, onnx.TensorProto] = {}

    def take(tensor: str) -> str:
        """A constant of the quantized graph, under a name of its own."""
        copy = onnx.TensorProto()
        copy.CopyFrom(stored[tensor])
        copy.name = f"quantized/{tensor}"
        taken[copy.name] = copy
        return copy.name

    if theirs.op_type == BLOCKS:
        node = onnx.NodeProto()
        node.CopyFrom(theirs)
        node.input[:] = [mine.input[0], *(take(each) if each else "" for each in theirs.input[1:])]
        mine.CopyFrom(node)
    else:
        for index, read in enumerate(theirs.input):
            maker = makers.get(read)
            if maker is None or maker.op_type != _DEQUANTIZE:
                continue
            constants = [take(each) for each in maker.input[1:]]
            dequantized = f"quantized/{name}/{index}"
            source = maker.input[0]
            if source in stored:
                source = take(source)
            else:
                pair = makers[source]
                codes = f"{dequantized}/codes"
                added.append(
                    onnx.helper.make_node(
                        _QUANTIZE,
                        [mine.input[index], *constants],
                        [codes],
                        codes,
                        **_attributes(pair),
                    )
                )
                source = codes
            added.append(
                onnx.helper.make_node(
                    _DEQUANTIZE,
                    [source, *constants],
                    [dequantized],
                    dequantized,
                    **_attributes(maker),
                )
            )
            mine.input[index] = dequantized
    graph.initializer.extend(taken.values())
    for node in reversed(added):
        graph.node.insert(place, node)
    opsets = {each.domain for each in model.opset_import}
    if mine.domain not in opsets:
        model.opset_import.append(onnx.helper.make_opsetid(mine.domain, 1))
    content: bytes = model.SerializeToString()
    return content


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}


class LayerErrors:
    """Finds which layers of a variant cost most; what can be wrong is seen before anything runs.

    Args:
        bundle: that has FP32 and the variant.
        name: of the variant, as "int8-trt" or "mixed-vnni".
        images: a folder with RGB/, NI/ and TI/; None for the bundle's golden inputs.
        threads: CPU threads.

    Raises:
        CalibrationError: the bundle has no such variant, or nothing of it is INT8; or no sample of
            `images` is complete.
        SampleError, ImageError: the images cannot be read.
        BackendError: the threads cannot be had.
    """

    def __init__(self, bundle: Bundle, name: str, images: Path | None, threads: int | None) -> None:
        self._bundle, self._name = bundle, name
        self._forms = _forms(bundle, name)
        self._images = "golden inputs" if images is None else str(images)
        self._inputs = _golden(bundle) if images is None else _folder(bundle, images)
        self._threads = threads

    def find(self, notify: Notify = lambda _: None) -> ErrorReport:
        """The errors. It runs each engine once for each of its layers, and what follows from it.

        Args:
            notify: told of each engine, and of each layer.

        Raises:
            BundleError: an engine is damaged.
            BackendError: one cannot be run here.
        """
        bundle, graph = self._bundle, self._bundle.graph
        engines = ReplayEngines(graph, bundle.read_engine, self._threads)
        exact = Replay(engines, self._inputs)
        float32 = all_in(graph, "fp32")
        expected = self._embed(exact, graph.states, float32)
        alone: dict[str, dict[str, float]] = {}
        layers: list[LayerError] = []
        for engine, form in self._forms.items():
            if not form.startswith("int8"):
                continue
            notify(f"{engine} in {form}")
            states = [s for s in graph.states if engine in graph.plan(s).engines]
            chosen = {**float32, engine: form}
            quantized = bundle.read_engine(engine, form)
            alone[engine] = self._errors(exact.fork(engines), states, chosen, expected)
            for layer in quantized_layers(bundle.read_engine(engine, "fp32"), quantized):
                notify(f"{engine} in {form}: {layer.weights or layer.node}")
                one = exact.fork(engines.with_model(engine, form, layer.model))
                errors = self._errors(one, states, chosen, expected)
                layers.append(
                    LayerError(
                        engine=engine,
                        layer=layer.node,
                        operator=layer.operator,
                        weights=layer.weights,
                        error=max(errors.values()),
                        states=errors,
                    )
                )
        return ErrorReport(
            variant=self._name,
            images=self._images,
            samples=len(next(iter(self._inputs.values()))),
            whole=self._errors(exact.fork(engines), graph.states, self._forms, expected),
            engines=alone,
            layers=tuple(sorted(layers, key=lambda each: -each.error)),
        )

    def _embed(self, replay: Replay, states: Sequence[State], forms: Forms) -> Embeddings:
        head = Head(self._bundle)
        return {
            state: head(np.stack([part for _, part in replay.parts(state, forms)], axis=1))
            for state in states
        }

    def _errors(
        self, replay: Replay, states: Sequence[State], forms: Forms, expected: Embeddings
    ) -> dict[str, float]:
        """One minus the mean cosine, by state. A cosine above 1 by rounding is no error."""
        return {
            state.name: max(0.0, 1.0 - float(np.mean(row_cosines(found, expected[state]))))
            for state, found in self._embed(replay, states, forms).items()
        }


def _forms(bundle: Bundle, name: str) -> dict[str, Form]:
    manifest = bundle.manifest
    variants: dict[str, Forms] = {
        variant(precision, platform): forms
        for precision in PRECISIONS
        for platform in PLATFORMS
        if (forms := manifest.forms(precision, platform)) is not None
    }
    forms = variants.get(name)
    if forms is None:
        raise CalibrationError(
            f"{bundle.root}: has no variant {name!r} to find the errors of: it has "
            f"{', '.join(manifest.variants)}"
        )
    if not any(form.startswith("int8") for form in forms.values()):
        raise CalibrationError(
            f"{bundle.root}: nothing is INT8 in {name}, so no layer has an error to be found: "
            "`denet calibrate` makes INT8"
        )
    if any("fp32" not in engine.files for engine in manifest.engines.values()):
        raise CalibrationError(
            f"{bundle.root}: has no FP32 engines to compare with: take the bundle that it was "
            "slimmed from"
        )
    return dict(forms)


def _golden(bundle: Bundle) -> dict[Modality, NDArray[np.float32]]:
    arrays, preprocess = read_golden(bundle), Preprocessor(bundle.manifest.preprocessing)
    return {
        m: np.stack([preprocess(image, m) for image in arrays[f"image_{m}"]])
        for m in bundle.graph.modalities
    }


def _folder(bundle: Bundle, folder: Path) -> dict[Modality, NDArray[np.float32]]:
    graph, preprocess = bundle.graph, Preprocessor(bundle.manifest.preprocessing)
    complete = [
        sample
        for sample in find_samples(folder, graph)
        if graph.state(sample.files) == graph.complete
    ][:MOST_SAMPLES]
    if not complete:
        raise CalibrationError(f"{folder}: no sample has an image of each modality of the bundle")
    return {
        m: np.stack([preprocess(sample.files[m], m) for sample in complete])
        for m in graph.modalities
    }
