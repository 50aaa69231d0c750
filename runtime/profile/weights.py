"""Where in the network a layer is: the weights of the ONNX nodes that a library made it of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from denet.packages import absent

_STORED = ("_quantized", "_half")
"""What the names of weights end in that an engine holds in a smaller type."""

_TYPED = ("DequantizeLinear", "Cast")
"""What changes only the type of weights."""

_FUSED = ("Clip", "HardSigmoid", "HardSwish", "LeakyRelu", "Relu", "Sigmoid", "Tanh")
"""What is often made one with the node before it."""

_ADDED = re.compile(r"(_nchwc|_token_\d+)+$")
"""What ONNX Runtime puts behind the name of a node or value, where it makes another of it."""


def weights_of_nodes(model: bytes) -> dict[str, str]:
    """The weights of each node of an engine that has some, and of what it makes.

    Args:
        model: the engine, as ONNX.

    Returns:
        The names of weights, without what all of them end in, by the names of nodes and values;
        empty without the package onnx.
    """
    try:
        import onnx
    except ImportError as error:
        if not absent(error, "onnx"):
            raise
        return {}
    graph = onnx.load_from_string(model).graph
    stored = {tensor.name for tensor in graph.initializer}
    makers = {output: node for node in graph.node for output in node.output}
    found: dict[str, str] = {}
    for node in graph.node:
        names = [_source(name, makers) for name in node.input]
        weights = next((n for n in names if n in stored and ".weight" in n), None)
        if weights is not None and node.op_type not in _TYPED:
            found[node.name] = found[node.output[0]] = _shortened(weights)
    for node in graph.node:
        if node.op_type in _FUSED and node.input[0] in found:
            found[node.name] = found[node.output[0]] = found[node.input[0]]
    return found


def _source(name: str, makers: Mapping[str, Any]) -> str:
    """What a value is made of, where that is only another type of it."""
    while name in makers and makers[name].op_type in _TYPED:
        name = makers[name].input[0]
    return name


def _shortened(weights: str) -> str:
    for end in _STORED:
        weights = weights.removesuffix(end)
    return weights.removesuffix(".weight")


def weights_of(layer: str, nodes: Mapping[str, str]) -> str:
    """The weights of a layer; "" where its name names no node that has some.

    Libraries name a layer after the nodes that it is made of, or what these make:
    `node_Conv_41_token_5`, `relu_1_nchwc`, `fused node_linear_2`, `node_Conv_41 + node_relu`.

    Args:
        layer: its name.
        nodes: the weights of nodes and values, by name.
    """
    names = (_ADDED.sub("", name) for name in re.split(r"[ +,|]+", layer))
    return next((nodes[name] for name in names if name in nodes), "")
