"""The outputs of YOLOX and of Ultralytics' exports: values for each cell of grids of strides."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.node.boxes.detector.candidates import (
    Candidates,
    Demand,
    Outputs,
    around_centres,
    of_each_class,
    of_one_class,
)
from runtime.node.boxes.detector.letterbox import Size

STRIDES = ((8, 16, 32), (8, 16, 32, 64))
"""Pixels from cell to cell of each grid, of the usual networks and of those for large inputs."""

ANCHORS = 3
"""Boxes of each cell of YOLOv5."""

MOST_FOUND = 1000
"""Rows of an export with suppression in it: 300 as a rule; a grid has more."""


def cells(size: Size) -> set[int]:
    """How many cells all grids of a network may have, for an input of this size."""
    return {sum((size[0] // s) * (size[1] // s) for s in strides) for strides in STRIDES}


def grid(size: Size, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Column and row of each of `count` cells (count, 2), row by row, and their strides (count, 1).

    Raises:
        ValueError: no grids of an input of this size have so many.
    """
    for strides in STRIDES:
        places, steps = [], []
        for s in strides:
            x, y = np.meshgrid(np.arange(size[0] // s), np.arange(size[1] // s))
            places.append(np.column_stack((x.ravel(), y.ravel())))
            steps.append(np.full((x.size, 1), s))
        if sum(map(len, places)) == count:
            return np.concatenate(places).astype(float), np.concatenate(steps).astype(float)
    raise ValueError(f"{count} cells are not those of an input of {size[0]}x{size[1]}")


def only(outputs: Outputs) -> NDArray[Any]:
    """The one output, without the axis of the batch.

    Raises:
        ValueError: there are several, or it is no list of rows for one picture.
    """
    (found,) = outputs.values()
    if found.ndim != 3 or found.shape[0] != 1:
        raise ValueError(f"an output of shape {found.shape}")
    rows: NDArray[Any] = found[0]
    return rows


def read_yolox(outputs: Outputs, size: Size, demand: Demand) -> Candidates:
    """(1, cells, 5 + C): centre x, y in cells from the corner of the own cell, logarithms of width
    and height in strides, score of there being anything, scores of classes."""
    rows = only(outputs)
    places, steps = grid(size, len(rows))
    centred = np.hstack(((rows[:, :2] + places) * steps, np.exp(rows[:, 2:4]) * steps))
    return of_each_class(around_centres(centred), rows[:, 4:5] * rows[:, 5:], demand)


def read_yolov5(outputs: Outputs, size: Size, demand: Demand) -> Candidates:  # noqa: ARG001
    """(1, N, 5 + C): centre x, y, width and height in pixels, score of there being anything, scores
    of classes. So of a YOLOX with its decoding in it, too."""
    rows = only(outputs)
    return of_each_class(around_centres(rows[:, :4]), rows[:, 4:5] * rows[:, 5:], demand)


def read_yolov8(outputs: Outputs, size: Size, demand: Demand) -> Candidates:  # noqa: ARG001
    """(1, 4 + C, cells): centre x, y, width and height in pixels, scores of classes."""
    rows = only(outputs).T
    return of_each_class(around_centres(rows[:, :4]), rows[:, 4:], demand)


def read_suppressed(outputs: Outputs, size: Size, demand: Demand) -> Candidates:  # noqa: ARG001
    """(1, N, 6): left, top, right and bottom in pixels, score, class."""
    rows = only(outputs)
    return of_one_class(rows[:, :4], rows[:, 4], rows[:, 5], demand)
