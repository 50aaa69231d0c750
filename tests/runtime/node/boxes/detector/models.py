"""Detectors for tests: ONNX models that say what they are told to, whatever they are shown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SIZE = (96, 64)
"""(width, height) of their input."""

CELLS = 12 * 8 + 6 * 4 + 3 * 2

Box = tuple[float, float, float, float]
Person = tuple[Box, float, int]
"""A box in pixels of the input, its score and the number of its class."""


def model(
    path: Path,
    outputs: Mapping[str, NDArray[Any]],
    *,
    shape: Sequence[int | str] = (1, 3, SIZE[1], SIZE[0]),
    kind: int = TensorProto.FLOAT,
    frame_size: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """A model with the outputs given, at `path`."""
    values = {name: np.asarray(value) for name, value in outputs.items()}
    inputs = [helper.make_tensor_value_info("images", kind, shape)]
    if frame_size:
        name = "orig_target_sizes"
        inputs.append(helper.make_tensor_value_info(name, TensorProto.INT64, (1, 2)))
    graph = helper.make_graph(
        [
            helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value, name))
            for name, value in values.items()
        ],
        "detector",
        inputs,
        [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
            )
            for name, value in values.items()
        ],
    )
    return saved(path, graph, metadata)


def saved(path: Path, graph: onnx.GraphProto, metadata: Mapping[str, str] | None = None) -> Path:
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(made, dict(metadata or {}))
    path.write_bytes(made.SerializeToString())
    return path


def centred(box: Box) -> Box:
    left, top, right, bottom = box
    return (left + right) / 2, (top + bottom) / 2, right - left, bottom - top


def cell_of(x: float, y: float, stride: int) -> tuple[int, int, int]:
    """Row of the cell among all, its column and line: one cell after the other."""
    row = 0
    for s in (8, 16, 32):
        for line in range(SIZE[1] // s):
            for column in range(SIZE[0] // s):
                if s == stride and (column, line) == (int(x // s), int(y // s)):
                    return row, column, line
                row += 1
    raise AssertionError


def yolox(persons: Sequence[Person], classes: int, strides: Sequence[int]) -> NDArray[np.float32]:
    """The raw output of YOLOX, each person on a grid of its own."""
    rows = np.full((1, CELLS, 5 + classes), -0.5, np.float32)
    rows[..., 4:] = 0
    for (box, score, label), stride in zip(persons, strides, strict=True):
        x, y, width, height = centred(box)
        row, column, line = cell_of(x, y, stride)
        place = (x / stride - column, y / stride - line)
        rows[0, row, :4] = *place, math.log(width / stride), math.log(height / stride)
        rows[0, row, 4], rows[0, row, 5 + label] = 0.9, score / 0.9
    return rows


def rows_with_objectness(
    persons: Sequence[Person], classes: int, count: int
) -> NDArray[np.float32]:
    """As YOLOv5 gives them, and YOLOX that decodes: boxes are spread over the picture."""
    rows = np.zeros((1, count, 5 + classes), np.float32)
    rows[0, :, 0] = np.linspace(0, SIZE[0], count)
    rows[0, :, 1:4] = 10
    for i, (box, score, label) in enumerate(persons):
        rows[0, 7 * i + 3, :4] = centred(box)
        rows[0, 7 * i + 3, 4], rows[0, 7 * i + 3, 5 + label] = 0.8, score / 0.8
    return rows


def yolov8(persons: Sequence[Person], classes: int) -> NDArray[np.float32]:
    columns = np.zeros((1, 4 + classes, CELLS), np.float32)
    columns[0, :4] = 10
    for i, (box, score, label) in enumerate(persons):
        columns[0, :4, 5 * i + 2] = centred(box)
        columns[0, 4 + label, 5 * i + 2] = score
    return columns


def suppressed(persons: Sequence[Person], count: int = 300) -> NDArray[np.float32]:
    rows = np.zeros((1, count, 6), np.float32)
    for i, (box, score, label) in enumerate(persons):
        rows[0, i] = *box, score, label
    return rows


def decoded(persons: Sequence[Person], count: int = 300) -> dict[str, NDArray[Any]]:
    """As RT-DETR and D-FINE give them."""
    rows = suppressed(persons, count)
    boxes, scores, labels = rows[..., :4], rows[..., 4], rows[..., 5].astype(np.int64)
    return {"labels": labels, "boxes": boxes, "scores": scores}


def logits(
    persons: Sequence[Person], classes: int, names: tuple[str, str]
) -> dict[str, NDArray[Any]]:
    """As RF-DETR and exports of Transformers give them; `names` of the boxes and the logits."""
    boxes = np.full((1, 300, 4), 0.1, np.float32)
    values = np.full((1, 300, classes), -20, np.float32)
    for i, (box, score, label) in enumerate(persons):
        x, y, width, height = centred(box)
        boxes[0, i] = x / SIZE[0], y / SIZE[1], width / SIZE[0], height / SIZE[1]
        values[0, i, label] = math.log(score / (1 - score))
    return dict(zip(names, (boxes, values), strict=True))


def looking(path: Path, seed: int = 0, *, open_size: bool = False) -> Path:
    """A model that looks at its picture, with the outputs of YOLOv8 for four classes: each cell
    says what its mean colour comes to by weights at random."""
    chance = np.random.default_rng(seed)
    nodes, tensors = [], []
    for stride in (8, 16, 32):
        weights = chance.uniform(0, 1, (8, 3, 1, 1)) * np.array([60] * 4 + [1] * 4).reshape(
            8, 1, 1, 1
        )
        tensors.append(numpy_helper.from_array(weights.astype(np.float32), f"w{stride}"))
        sides = [stride, stride]
        nodes += [
            helper.make_node(
                "AveragePool", ["images"], [f"p{stride}"], kernel_shape=sides, strides=sides
            ),
            helper.make_node("Conv", [f"p{stride}", f"w{stride}"], [f"c{stride}"]),
            helper.make_node("Reshape", [f"c{stride}", "flat"], [f"f{stride}"]),
        ]
    tensors.append(numpy_helper.from_array(np.array([1, 8, -1]), "flat"))
    nodes.append(helper.make_node("Concat", ["f8", "f16", "f32"], ["output0"], axis=2))
    sides = ("height", "width") if open_size else SIZE[::-1]
    cells = "cells" if open_size else CELLS
    graph = helper.make_graph(
        nodes,
        "looking",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, (1, 3, *sides))],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, (1, 8, cells))],
        tensors,
    )
    return saved(path, graph)
