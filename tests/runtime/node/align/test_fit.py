"""Homographies from pairs of points, against known ones and against brute force."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from runtime.node.align.direct import direct, errors, refined
from runtime.node.align.fit import fit
from runtime.node.boxes.homography import project
from runtime.node.errors import NodeError

SIZE, OTHER = (1920, 1080), (640, 512)

Array = NDArray[np.float64]


def known(seed: int) -> Array:
    """A homography from the corners of one frame to near those of another, solved by the equations
    of Hartley and Zisserman (2.18): eight unknowns, eight equations."""
    chance = np.random.default_rng(seed)
    corners = np.array([(0, 0), (SIZE[0], 0), (0, SIZE[1]), SIZE], float)
    places = corners / SIZE * OTHER + chance.uniform(-80, 80, (4, 2))
    rows, right = [], []
    for (x, y), (u, v) in zip(corners, places, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    return np.append(np.linalg.solve(rows, right), 1.0).reshape(3, 3)


def points(count: int, seed: int) -> Array:
    return np.random.default_rng(seed).uniform((50, 50), (SIZE[0] - 50, SIZE[1] - 50), (count, 2))


def off_everywhere(matrix: Array, truth: Array) -> float:
    """Pixels by which two homographies differ at most within the frame."""
    x, y = np.meshgrid(np.linspace(0, SIZE[0], 12), np.linspace(0, SIZE[1], 9))
    grid = np.column_stack((x.ravel(), y.ravel()))
    return float(np.abs(project(matrix, grid) - project(truth, grid)).max())


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), count=st.integers(6, 40))
def test_exact_points_give_the_homography_back(seed: int, count: int) -> None:
    truth, source = known(seed), points(count, seed + 1)
    found = fit(source, project(truth, source), 5.0)
    assert found.kept.all()
    assert off_everywhere(found.matrix, truth) < 1e-4


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10_000))
def test_two_pairs_of_five_may_be_wrong(seed: int) -> None:
    truth, source = known(seed), points(50, seed + 1)
    chance = np.random.default_rng(seed + 2)
    target = project(truth, source) + chance.normal(0, 0.5, (50, 2))
    wrong = chance.choice(50, 20, replace=False)
    ways = chance.uniform(0, 2 * np.pi, 20)
    far = chance.uniform(30, 300, 20)
    target[wrong] += np.column_stack((far * np.cos(ways), far * np.sin(ways)))
    found = fit(source, target, 6.0)
    right = np.setdiff1d(np.arange(50), wrong)
    assert not found.kept[wrong].any()
    assert found.kept[right].mean() > 0.9
    assert off_everywhere(found.matrix, truth) < 6.0


def test_the_sample_that_all_pairs_agree_with_best_is_found() -> None:
    """Of few pairs all samples of four are tried, each solved on its own: brute force."""
    truth, source = known(4), points(10, 5)
    target = project(truth, source) + np.random.default_rng(6).normal(0, 0.4, (10, 2))
    target[[2, 7]] += 90
    best = min(
        (
            float(
                (np.minimum(errors(direct(source[s], target[s]), source, target), 6.0) ** 2).sum()
            )
            for s in map(list, itertools.combinations(range(10), 4))
        ),
    )
    found = fit(source, target, 6.0)
    cost = float((np.minimum(found.errors, 6.0) ** 2).sum())
    assert cost <= best + 1e-9
    assert list(np.flatnonzero(~found.kept)) == [2, 7]


def test_refinement_finds_the_least_squares_of_scipy() -> None:
    optimize = pytest.importorskip("scipy.optimize")
    truth, source = known(8), points(30, 9)
    target = project(truth, source) + np.random.default_rng(10).normal(0, 2.0, (30, 2))

    def residuals(entries: Array) -> Array:
        found: Array = (project(np.append(entries, 1.0).reshape(3, 3), source) - target).ravel()
        return found

    start = direct(source, target)
    scales = np.array([1, 1, 100, 1, 1, 100, 1e-3, 1e-3])
    best = optimize.least_squares(
        residuals, start.ravel()[:8], x_scale=scales, xtol=1e-14, ftol=1e-14, gtol=1e-14
    )
    ours = float((errors(refined(start, source, target), source, target) ** 2).sum())
    assert ours == pytest.approx(2 * best.cost, rel=1e-7)
    assert ours <= float((errors(start, source, target) ** 2).sum())


def test_how_sure_it_is_agrees_with_many_trials() -> None:
    """Homographies of the same points read with new errors each time: how far they scatter."""
    truth, source = known(11), points(20, 12)
    source[:, 0] *= 0.5  # the right half of the frame has none
    where = np.array([(300.0, 500.0), (1800.0, 500.0)])
    chance = np.random.default_rng(13)
    landed, said = [], []
    for _ in range(80):
        target = project(truth, source) + chance.normal(0, 0.7, (20, 2))
        found = fit(source, target, 8.0)
        landed.append(project(found.matrix, where))
        said.append(found.unsure(where, source))
    scatter = np.sqrt(np.var(landed, axis=0).sum(axis=1))
    assert np.mean(said, axis=0) == pytest.approx(scatter, rel=0.35)
    assert scatter[1] > 2 * scatter[0]


@pytest.mark.parametrize("count", [0, 1, 4, 5])
def test_too_few_pairs_are_refused(count: int) -> None:
    source = points(count, 1).reshape(-1, 2)
    with pytest.raises(NodeError, match=f"{count} pairs? of points: give at least 6"):
        fit(source, source, 5.0)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), beside=st.booleans(), count=st.integers(7, 100))
def test_points_on_one_line_are_refused(seed: int, beside: bool, count: int) -> None:
    """Also where a single one is beside it: the homography is still not determined."""
    chance = np.random.default_rng(seed)
    along = np.linspace(0.1, 0.9, count)[:, None]
    ends = chance.uniform(100, 900, 2), chance.uniform(1000, 1800, 2)
    source = ends[0] * (1 - along) + ends[1] * along + chance.normal(0, 0.5, (count, 2))
    if beside:
        source[chance.integers(count)] += 400 * np.array([1.0, -1.0])
    with pytest.raises(NodeError, match="on one line"):
        fit(source, project(known(seed), source), 5.0)


def test_pairs_that_do_not_agree_are_refused() -> None:
    source = points(30, 1)
    target = np.random.default_rng(2).uniform((0, 0), OTHER, (30, 2))
    with pytest.raises(NodeError, match=re.escape("agree on a homography within 5.0 pixels")):
        fit(source, target, 5.0)


def test_the_same_pairs_give_the_same_homography() -> None:
    source = points(200, 3)
    target = project(known(3), source) + np.random.default_rng(4).normal(0, 1, (200, 2))
    assert np.array_equal(fit(source, target, 6.0).matrix, fit(source, target, 6.0).matrix)
