"""The engines of a state as one ONNX graph: pixels of its images in, its embedding out.

The plan of the state says which engine reads what another makes. Their graphs are put one behind
the other, names behind the name of the engine, each engine once; before them stands the
normalization of images, behind them the head. So the graph computes what the runtime does, in
whatever forms the engines are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from denet.graph import STACKED, Call, Modality, State, execute, image_value
from export.graphs.errors import GraphsError
from export.graphs.names import BATCH, EMBEDDING
from runtime.bundle.bundle import Bundle
from runtime.bundle.forms import Forms
from runtime.bundle.manifest import NormalizationSpec
from runtime.head import EPSILON, read_head
from runtime.preprocess import SCALE

FIRST, SECOND = "axis_0", "axis_1"
"""Axes, as constants."""


class StateGraph:
    """The graph of one state under construction.

    Args:
        bundle: whose engines it is made of.
        state: that it computes.
        forms: of each engine.
    """

    def __init__(self, bundle: Bundle, state: State, forms: Forms) -> None:
        self._bundle, self._state, self._forms = bundle, state, forms
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self._opsets: dict[str, int] = {}
        self._ir = 0

    def build(self) -> bytes:
        """The serialized graph.

        Raises:
            BundleError: an engine or the head is damaged.
            GraphsError: engines are of different operator sets.
        """
        values = {
            image_value(m): self._image(m, self._bundle.manifest.preprocessing.modalities[m])
            for m in self._state.available
        }
        plan = self._bundle.graph.plan(self._state)
        execute(plan.calls, values, self._call)
        self._head([values[name] for name in plan.parts])
        size = self._bundle.manifest.preprocessing
        inputs = [
            helper.make_tensor_value_info(m, TensorProto.FLOAT, (BATCH, 3, size.height, size.width))
            for m in self._state.available
        ]
        dim = self._bundle.manifest.head.dim
        output = helper.make_tensor_value_info(EMBEDDING, TensorProto.FLOAT, (BATCH, dim))
        graph = helper.make_graph(
            self._nodes, self._state.name, inputs, [output], list(self._constants.values())
        )
        opsets = [helper.make_opsetid(*each) for each in sorted(self._opsets.items())]
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=self._ir, producer_name="denet"
        )
        onnx.checker.check_model(model)
        content: bytes = model.SerializeToString(deterministic=True)
        return content

    def _image(self, modality: Modality, spec: NormalizationSpec) -> str:
        """What a branch reads: a step each of what `runtime.preprocess` does, the same bits."""
        mean, std = (
            np.asarray(each, np.float32).reshape(1, 3, 1, 1) for each in (spec.mean, spec.std)
        )
        value = modality
        for step, operator, constant in (
            ("scaled", "Mul", np.asarray(SCALE)),
            ("centred", "Sub", mean),
            ("normalized", "Div", std),
        ):
            held = self._constant(f"{modality}/{step}/by", constant)
            value = self._add(operator, [value, held], f"{modality}/{step}")
        return value

    def _call(self, call: Call, read: dict[str, tuple[str, ...]]) -> Mapping[str, Sequence[str]]:
        """Add an engine; what its outputs are called, the targets of a stack one by one."""
        engine = call.engine
        model = onnx.load_from_string(self._bundle.read_engine(engine, self._forms[engine]))
        self._take_versions(engine, model)
        graph = model.graph
        names = {
            each.name: self._stacked(f"{engine}/{each.name}", read[each.name])
            if each.name in STACKED
            else read[each.name][0]
            for each in graph.input
        }

        def renamed(name: str) -> str:
            return names.setdefault(name, f"{engine}/{name}") if name else ""

        for tensor in graph.initializer:
            tensor.name = renamed(tensor.name)
            self._constants[tensor.name] = tensor
        for node in graph.node:
            node.name = f"{engine}/{node.name}"
            node.input[:] = [renamed(name) for name in node.input]
            node.output[:] = [renamed(name) for name in node.output]
            self._nodes.append(node)
        return {
            output: self._unstacked(names[output], len(targets))
            if output in STACKED
            else (names[output],)
            for output, targets in call.outputs.items()
        }

    def _take_versions(self, engine: str, model: onnx.ModelProto) -> None:
        self._ir = max(self._ir, model.ir_version)
        for each in model.opset_import:
            if self._opsets.setdefault(each.domain, each.version) != each.version:
                raise GraphsError(
                    f"{self._bundle.root}: {engine} is of operator set {each.version}, and "
                    f"another engine of {self._opsets[each.domain]}: export the bundle again"
                )

    def _stacked(self, name: str, values: Sequence[str]) -> str:
        """The targets of an edge, (T, B, C)."""
        axis = self._constant(FIRST, np.asarray([0], np.int64))
        rows = [
            self._add("Unsqueeze", [value, axis], f"{name}/{number}")
            for number, value in enumerate(values)
        ]
        return rows[0] if len(rows) == 1 else self._add("Concat", rows, f"{name}/all", axis=0)

    def _unstacked(self, stack: str, count: int) -> list[str]:
        """Each target of a stack, (B, C)."""
        return [
            self._add(
                "Gather",
                [stack, self._constant(f"number_{number}", np.asarray(number, np.int64))],
                f"{stack}/{number}",
                axis=0,
            )
            for number in range(count)
        ]

    def _head(self, parts: Sequence[str]) -> None:
        """What `runtime.head` does."""
        head = self._bundle.manifest.head
        held = read_head(self._bundle)
        value = self._add("Concat", parts, "head/parts", axis=1) if len(parts) > 1 else parts[0]
        if "scale" in held:
            value = self._by(value, "Mul", "scale", held)
            value = self._by(value, "Add", "shift", held)
        if head.normalize:
            value = self._normalized(value, "head")
        if "matrix" in held:
            value = self._by(value, "Sub", "mean", held)
            value = self._by(value, "MatMul", "matrix", held)
            value = self._normalized(value, "head/projected")
        self._nodes.append(helper.make_node("Identity", [value], [EMBEDDING], EMBEDDING))

    def _by(
        self, value: str, operator: str, name: str, held: Mapping[str, NDArray[np.float32]]
    ) -> str:
        constant = self._constant(f"head/{name}", held[name])
        return self._add(operator, [value, constant], f"head/by_{name}")

    def _normalized(self, value: str, name: str) -> str:
        axis = self._constant(SECOND, np.asarray([1], np.int64))
        norm = self._add("ReduceL2", [value, axis], f"{name}/norm", keepdims=1)
        least = self._constant("head/epsilon", np.asarray(EPSILON, np.float32))
        bounded = self._add("Max", [norm, least], f"{name}/bounded")
        return self._add("Div", [value, bounded], f"{name}/normalized")

    def _constant(self, name: str, value: NDArray[np.generic]) -> str:
        self._constants[name] = numpy_helper.from_array(np.asarray(value, order="C"), name)
        return name

    def _add(self, operator: str, inputs: Iterable[str], output: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(operator, list(inputs), [output], output, **attributes))
        return output


def state_graph(bundle: Bundle, state: State, forms: Forms) -> bytes:
    """The graph of a state, as ONNX.

    It reads an image of each modality of the state by the modality's name, (batch, 3, H, W)
    float32, resized, red, green and blue from 0 to 255; and makes `embedding`, (batch, dim).

    Args:
        bundle: whose engines it is made of.
        state: that it computes.
        forms: of each engine.

    Raises:
        BundleError: an engine or the head is damaged.
        GraphsError: its engines do not go together.
    """
    return StateGraph(bundle, state, forms).build()
