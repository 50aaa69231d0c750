"""The few points of a frame against all that they stand for."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.node.health.grid import BANDS, BLOCKS, Grid


def even(grid: Grid, shape: tuple[int, int], axis: int) -> list[int]:
    """Where along an axis a grid looks: read from an image of places. Even, and in the middle."""
    places = np.indices(shape)[axis].astype(np.uint16)
    at = sorted({round(x) for x in grid(places).levels.ravel().tolist()})
    assert len({b - a for a, b in itertools.pairwise(at)}) <= 1
    assert abs(at[0] - (shape[axis] - 1 - at[-1])) <= 1
    return at


@given(
    height=st.integers(8, 300),
    width=st.integers(8, 300),
    colour=st.booleans(),
    deep=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=80, deadline=None)
def test_a_grid_reduces_as_the_formulas_say(
    height: int, width: int, colour: bool, deep: bool, seed: int
) -> None:
    dtype = np.dtype(np.uint16 if deep else np.uint8)
    shape = (height, width, 3) if colour else (height, width)
    image = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype)
    points = Grid(shape, dtype, (1000, 50_000))(image)
    down, across = min(16, height // 8), min(16, width) // 4 * 4
    assert points.levels.shape == (BANDS, down * across)
    green = (image[..., 1] if colour else image).astype(np.float64)
    true = (green - 1000) * 255 / 49_000 if deep else green
    ys = even(Grid((height, width), np.dtype(np.uint16), (0, 255)), (height, width), axis=0)
    xs = even(Grid((height, width), np.dtype(np.uint16), (0, 255)), (height, width), axis=1)
    assert (len(ys), len(xs)) == (BANDS * down, across)
    levels = points.levels.reshape(BANDS * down, across)
    assert np.allclose(levels, true[np.ix_(ys, xs)], rtol=1e-5, atol=1e-3)
    bands = levels.astype(np.float64).reshape(BANDS, down, across)
    assert np.allclose(points.means, bands.mean((1, 2)), rtol=1e-4)
    assert np.allclose(points.spreads, bands.var((1, 2)), rtol=1e-3, atol=0.2)
    blocks = bands.reshape(BANDS, down, BLOCKS, -1).mean((1, 3))
    assert np.allclose(points.blocks, blocks.ravel(), rtol=1e-4, atol=1e-3)
