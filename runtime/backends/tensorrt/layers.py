"""The layers of a TensorRT engine: what its inspector says of them, and how long they took."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from runtime.backends.base import LayerRun
from runtime.backends.tensorrt.device import Addresses, DeviceContext, Handle, Shapes, TellLayer

TYPES = {
    "int8": "int8",
    "half": "fp16",
    "fp16": "fp16",
    "bf16": "bf16",
    "float": "fp32",
    "fp32": "fp32",
}
"""What the inspector calls a type, inside the words for a format, and what we call it."""


class ObservedContext(DeviceContext):
    """A context that notes the layers of each run; a run is then waited for.

    Attributes:
        runs: the layers of each. TensorRT tells how long a layer took, not when it began: each
            begins where the one before it ends.

    Args:
        context: that runs.
        operators: what each layer does.
    """

    def __init__(self, context: DeviceContext, operators: Mapping[str, str]) -> None:
        self._context, self._operators = context, operators
        self._told: list[tuple[str, float]] = []
        self.runs: list[tuple[LayerRun, ...]] = []
        context.observe(lambda name, seconds: self._told.append((name, seconds)))

    def configure(self, shapes: Shapes, addresses: Addresses, scratch: int) -> None:
        self._context.configure(shapes, addresses, scratch)

    def enqueue(self, stream: Handle) -> None:
        self._told.clear()
        self._context.enqueue(stream)
        layers, start = [], 0.0
        for name, seconds in self._told:
            layers.append(LayerRun(name, self._operators.get(name, ""), start, seconds))
            start += seconds
        self.runs.append(tuple(layers))

    def observe(self, tell: TellLayer) -> None:
        self._context.observe(tell)


def read_operators(text: str) -> dict[str, str]:
    """What each layer of an engine does, and the type that it makes: "CaskConvolution int8".

    It is for a person: what is not understood is left out, and nothing fails. An engine that was
    built without details has names alone.

    Args:
        text: what the inspector says.
    """
    try:
        layers = msgspec.json.decode(text).get("Layers", [])
    except (msgspec.DecodeError, AttributeError):
        return {}
    return {
        str(layer["Name"]): " ".join(filter(None, (str(layer.get("LayerType", "")), _type(layer))))
        for layer in layers
        if isinstance(layer, dict) and "Name" in layer
    }


def _type(layer: dict[str, Any]) -> str:
    """The type of the first output. Its field has other names in other releases."""
    outputs = layer.get("Outputs") or [{}]
    first = outputs[0] if isinstance(outputs[0], dict) else {}
    words = str(first.get("Format/Datatype") or first.get("DataType") or first.get("Format") or "")
    found = (known for word, known in TYPES.items() if word in words.lower())
    return next(found, "")
