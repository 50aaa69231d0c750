"""Whether an ONNX model is all in its own bytes. A node has no library for ONNX files, so its wire
format is read here, as far as that takes.

A model may name another file as the place of its weights, which ONNX Runtime then reads from the
folder in which the program happens to run, or an address in the memory of the process; and a node
of it may name an engine that was compiled elsewhere, which is a program. No digest covers either.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from denet.errors import DenetError
from denet.reading import reading

COMPILED = b"EPContext"
"""The operator that stands for a compiled engine."""

_TELLING = (b"location", COMPILED)
"""Of these a node has one as it stands, however it is written, if it refers to anything outside:
without the key "location" no place is named. Names may have them, too: then it is looked into."""

_WITHIN: Mapping[str, Mapping[int, str]] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto",
        6: "GraphProto",
        10: "TensorProto",
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
}
"""The fields that hold messages in which a tensor or a node can be, by their numbers."""

_OPERATOR, _EXTERNAL_DATA, _DATA_LOCATION = 4, 13, 14
_VARINT, _EIGHT, _LENGTH, _FOUR = 0, 1, 2, 5


def check_self_contained(content: bytes, path: Path, error: type[DenetError]) -> None:
    """See that a model refers to nothing outside of it.

    Args:
        content: a serialized ONNX model.
        path: of its file, for messages.
        error: to raise.

    Raises:
        error: it does, or it is no such model.
    """
    with reading(path, error, "not an ONNX model"):
        found = next(_outside(memoryview(content), "ModelProto"), None)
    if found is not None:
        raise error(f"{path}: {found}: only models that have everything inside are run")


def _outside(message: memoryview, kind: str) -> Iterator[str]:
    """What a message of that kind refers to."""
    if kind == "NodeProto":  # of which there are hundreds, most of them small
        node = bytes(message)
        if not any(word in node for word in _TELLING):
            return
    for number, wire, value in _fields(message):
        if kind == "TensorProto" and (
            number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0)
        ):
            yield "takes weights from outside of it"
        elif wire != _LENGTH or not isinstance(value, memoryview):
            continue
        elif kind == "NodeProto" and number == _OPERATOR and bytes(value) == COMPILED:
            yield "holds an engine that was compiled elsewhere"
        elif number in _WITHIN.get(kind, {}):
            yield from _outside(value, _WITHIN[kind][number])


def _fields(message: memoryview) -> Iterator[tuple[int, int, memoryview | int]]:
    """The fields of a message: number, wire type, value. Raises: ValueError or IndexError."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        wire = tag & 7
        if wire == _VARINT:
            value, at = _varint(message, at)
            yield tag >> 3, wire, value
            continue
        if wire == _LENGTH:
            length, at = _varint(message, at)
        elif wire in (_EIGHT, _FOUR):
            length = 8 if wire == _EIGHT else 4
        else:
            raise ValueError(f"wire type {wire}")
        if at + length > len(message):
            raise ValueError("it is cut off")
        yield tag >> 3, wire, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise ValueError("a number without end")
