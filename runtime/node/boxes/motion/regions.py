"""Connected regions of a mask, and the boxes around them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask (H, W) with all neighbours of its cells, diagonal ones included."""
    height, width = mask.shape
    padded = np.pad(mask, 1)
    shifts = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    found: NDArray[np.bool_] = np.logical_or.reduce(shifts)
    return found


def regions(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The number of the region of each cell of a mask (H, W): from 1, and 0 outside.

    Cells are connected with their eight neighbours. Runs of a row are joined with those that they
    touch in the row before (union-find), so that the work is in runs, not in cells.
    """
    parents: list[int] = []

    def root(run: int) -> int:
        while parents[run] != run:
            parents[run] = parents[parents[run]]
            run = parents[run]
        return run

    rows: list[list[tuple[int, int, int]]] = []  # start, stop and number of each run
    before: list[tuple[int, int, int]] = []
    for row in mask:
        edges = np.flatnonzero(np.diff(np.pad(row, 1).astype(np.int8)))
        runs = []
        for start, stop in edges.reshape(-1, 2).tolist():
            number = len(parents)
            parents.append(number)
            for above_start, above_stop, above in before:
                if above_start <= stop and start <= above_stop:
                    parents[root(number)] = root(above)
            runs.append((start, stop, number))
        rows.append(runs)
        before = runs
    numbers = np.zeros(mask.shape, np.int64)
    names: dict[int, int] = {}
    for y, runs in enumerate(rows):
        for start, stop, number in runs:
            numbers[y, start:stop] = names.setdefault(root(number), len(names) + 1)
    return numbers


def region_boxes(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Left, top, right and bottom (N, 4) of the regions of a mask, in cells, right and bottom
    outside. Regions with a gap of up to two cells are one: a belt hides nobody."""
    numbers = np.where(mask, regions(grown(mask)), 0)
    boxes = []
    for number in range(1, int(numbers.max(initial=0)) + 1):
        y, x = np.nonzero(numbers == number)
        boxes.append((x.min(), y.min(), x.max() + 1, y.max() + 1))
    return np.array(boxes, np.int64).reshape(-1, 4)
