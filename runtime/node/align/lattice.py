"""Spots that lie as the points of a board do: in rows and columns, seen in perspective."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from runtime.node.align.direct import direct, errors
from runtime.node.align.spots import Spots

Cell = tuple[int, int]
"""Column and row, from anywhere."""

Grid = NDArray[np.float64]
"""(rows, columns, 2): places in pixels."""

REACH = 0.3
"""Of a step: how far a spot may be from where it is expected."""

SEEDS = 12
"""Spots from which it is tried to go on."""

WAYS: tuple[Cell, ...] = ((1, 0), (-1, 0), (0, 1), (0, -1))


def find_grid(spots: Spots, columns: int, rows: int) -> Grid | None:
    """The spots of a board of columns x rows; None where it is not there as a whole.

    Of a board that is seen twice - in a mirror, or larger than it is said to be - the one whose
    weakest spot is the strongest counts. Rows run to the right and columns down, as they are seen:
    a board that is turned by more than 45 degrees has its rows where its columns were.
    """
    best: tuple[float, Grid] | None = None
    for seed in range(min(SEEDS, len(spots.places))):
        lattice = _grown(spots.places, seed)
        for shape in {(columns, rows), (rows, columns)}:
            found = _window(lattice, spots, *shape)
            if found is not None and (best is None or found[0] > best[0]):
                best = found
        if best is not None:
            break
    return None if best is None else upright(best[1], columns, rows)


def upright(grid: Grid, columns: int, rows: int) -> Grid | None:
    """The same grid with its rows from left to right and its columns downwards, or for a board that
    is turned onto its side the other way; None if it is a mirror image."""
    if grid.shape[:2] != (rows, columns):
        grid = grid.transpose(1, 0, 2)
    forms = [grid, grid[::-1, ::-1]]
    if columns == rows:
        turned = grid.transpose(1, 0, 2)[:, ::-1]
        forms += [turned, turned[::-1, ::-1]]
    forms += [form[:, ::-1] for form in forms]
    right_handed = [form for form in forms if _turns_right(form)]
    if not right_handed:
        return None
    return max(right_handed, key=lambda form: float(_along(form)[0]))


def alike(grid: Grid, other: Grid) -> Grid:
    """The second grid numbered as the first: cameras are mounted side by side, so what is to the
    right in one is not to the left in the other."""
    forms = [other, other[::-1, ::-1]]
    if other.shape[0] == other.shape[1]:
        turned = other.transpose(1, 0, 2)[:, ::-1]
        forms += [turned, turned[::-1, ::-1]]
    way = _along(grid)
    return max(forms, key=lambda form: float(_along(form) @ way))


def unevenness(grid: Grid) -> float:
    """By how much the spots of a grid are off those of a flat board: root mean square, in steps."""
    rows, columns = grid.shape[:2]
    flat = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).reshape(-1, 2)
    places = grid.reshape(-1, 2)
    off = errors(direct(flat.astype(float), places), flat.astype(float), places)
    step = np.hypot(*np.diff(grid, axis=1).reshape(-1, 2).T).mean()
    return float(np.sqrt((off**2).mean()) / step)


def _along(grid: Grid) -> NDArray[np.float64]:
    """(2,) the direction in which rows run."""
    way = (grid[:, -1] - grid[:, 0]).mean(axis=0)
    unit: NDArray[np.float64] = way / (np.linalg.norm(way) or 1.0)
    return unit


def _turns_right(grid: Grid) -> bool:
    x = grid[:, -1].mean(axis=0) - grid[:, 0].mean(axis=0)
    y = grid[-1].mean(axis=0) - grid[0].mean(axis=0)
    return bool(x[0] * y[1] - x[1] * y[0] > 0)


def _grown(places: NDArray[np.float64], seed: int) -> dict[Cell, int]:
    """Spots by their column and row, from one on."""
    first = _neighbours(places, seed)
    if first is None:
        return {}
    steps = {seed: first}
    lattice: dict[Cell, int] = {(0, 0): seed}
    taken = {seed}
    waiting = deque([(0, 0)])
    while waiting:
        cell = waiting.popleft()
        index = lattice[cell]
        for way in WAYS:
            there = cell[0] + way[0], cell[1] + way[1]
            if there in lattice:
                continue
            step = way[0] * steps[index][0] + way[1] * steps[index][1]
            distances = np.hypot(*(places - places[index] - step).T)
            nearest = int(distances.argmin())
            if nearest in taken or distances[nearest] > REACH * np.hypot(*step):
                continue
            lattice[there] = nearest
            taken.add(nearest)
            # The next step is as this one was, and across as it was here.
            made = (places[nearest] - places[index]) * (way[0] + way[1])
            axis = 0 if way[0] else 1
            across = steps[index][1 - axis]
            steps[nearest] = (made, across) if axis == 0 else (across, made)
            waiting.append(there)
    return lattice


def _neighbours(
    places: NDArray[np.float64], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Steps from a spot to its nearest, and to the nearest in quite another direction."""
    ways = places - places[seed]
    lengths = np.hypot(*ways.T)
    apart = lengths > 1.0  # a spot may be found twice
    near = [int(i) for i in np.argsort(lengths, kind="stable") if apart[i]][:8]
    if not near:
        return None
    first = ways[near[0]]
    for i in near[1:]:
        turn = abs(first[0] * ways[i][1] - first[1] * ways[i][0]) / (lengths[near[0]] * lengths[i])
        if turn > 0.6:
            return first, ways[i]
    return None


def _window(
    lattice: dict[Cell, int], spots: Spots, columns: int, rows: int
) -> tuple[float, Grid] | None:
    """Of all full windows of columns x rows the one whose weakest spot is the strongest."""
    best: tuple[float, Grid] | None = None
    for left, top in lattice:
        cells = [(left + x, top + y) for y in range(rows) for x in range(columns)]
        if not all(cell in lattice for cell in cells):
            continue
        chosen = np.array([lattice[cell] for cell in cells])
        weakest = float(spots.responses[chosen].min())
        if best is None or weakest > best[0]:
            best = weakest, spots.places[chosen].reshape(rows, columns, 2)
    return best
