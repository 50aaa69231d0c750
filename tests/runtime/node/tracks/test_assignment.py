"""The least cost, against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from runtime.node.tracks.assignment import FORBIDDEN, assign

optimize = pytest.importorskip("scipy.optimize")

COSTS = st.tuples(st.integers(1, 7), st.integers(1, 7)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.floats(0, 1))
)


@given(costs=COSTS, forbidden=st.integers(0, 2**49 - 1))
@settings(deadline=None)
def test_it_is_that_of_scipy(costs: np.ndarray, forbidden: int) -> None:
    closed = np.array([forbidden >> i & 1 for i in range(costs.size)], bool).reshape(costs.shape)
    costs = np.where(closed, FORBIDDEN, costs)
    rows, columns = optimize.linear_sum_assignment(costs)
    best = [(r, c) for r, c in zip(rows, columns, strict=True) if costs[r, c] < FORBIDDEN]
    found = assign(costs)
    assert len(found) == len(best)
    assert sum(costs[p] for p in found) == pytest.approx(sum(costs[p] for p in best), abs=1e-8)
    assert len({r for r, _ in found}) == len({c for _, c in found}) == len(found)


def test_a_hundred_by_a_hundred() -> None:
    costs = np.random.default_rng(0).random((100, 100))
    assert sum(costs[p] for p in assign(costs)) == pytest.approx(
        costs[optimize.linear_sum_assignment(costs)].sum()
    )
