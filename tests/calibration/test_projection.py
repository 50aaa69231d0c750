"""The axes of a projection against an independent decomposition."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from calibration import CalibrationError
from calibration.projection import POWERS, choose_projection, principal_axes
from denet.data.records import Record
from denet.evaluate import Split
from denet.graph import RGB_NIR_TIR

COMPLETE = RGB_NIR_TIR.complete


def stretched(rows: int, dim: int, seed: int = 0) -> NDArray[np.float32]:
    """Embeddings that vary by 1, 1/2, 1/3 ... along directions drawn at random, about a mean."""
    random = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(random.standard_normal((dim, dim)))
    plain = random.standard_normal((rows, dim)) / np.arange(1, dim + 1)
    return (plain @ turn.T + random.standard_normal(dim)).astype(np.float32)


@pytest.mark.parametrize(("rows", "dim"), [(200, 30), (20, 50)])
def test_axes_are_those_of_a_singular_value_decomposition(rows: int, dim: int) -> None:
    embeddings = stretched(rows, dim)
    found = principal_axes(embeddings, 8)
    centred = embeddings.astype(np.float64) - embeddings.astype(np.float64).mean(axis=0)
    _, values, axes = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(found.variances, values[:8] ** 2 / rows, rtol=1e-6)
    np.testing.assert_allclose(np.abs(np.sum(found.axes * axes[:8].T, axis=0)), 1, rtol=1e-6)
    np.testing.assert_allclose(found.axes.T @ found.axes, np.eye(8), atol=1e-9)
    assert np.all(found.axes[np.abs(found.axes).argmax(axis=0), np.arange(8)] > 0)


@pytest.mark.parametrize("power", POWERS)
def test_whitening_divides_by_a_power_of_the_deviation(power: float) -> None:
    embeddings = stretched(300, 20)
    axes = principal_axes(embeddings, 6)
    made = (embeddings - axes.mean) @ axes.matrix(power)
    deviations = made.std(axis=0)
    expected = np.sqrt(axes.variances / axes.variances[0]) ** (1 - power)
    np.testing.assert_allclose(deviations / deviations[0], expected, rtol=1e-4)


def test_more_axes_than_there_are_are_refused() -> None:
    with pytest.raises(CalibrationError, match="vary along 9 axes, and 12 are"):
        principal_axes(stretched(10, 50), 12)


def test_all_axes_change_no_distance() -> None:
    embeddings = stretched(100, 12)
    axes = principal_axes(embeddings, 12)
    short = (embeddings - axes.mean) @ axes.matrix(0.0)
    before = np.linalg.norm(embeddings[:, None] - embeddings, axis=2)
    after = np.linalg.norm(short[:, None] - short, axis=2)
    np.testing.assert_allclose(after, before, atol=1e-4)


@pytest.mark.parametrize("hidden", [True, False])
def test_whitening_is_chosen_where_it_ranks_better(hidden: bool) -> None:
    """People differ along weak axes that a strong nuisance hides; or along the strong ones."""
    random = np.random.default_rng(0)
    records = tuple(Record(f"{i}", i // 4, i % 4, {}) for i in range(160))
    who = np.repeat(random.standard_normal((40, 4)), 4, axis=0)
    nuisance = random.standard_normal((160, 4))
    strong, weak = (nuisance, who) if hidden else (who, nuisance)
    raw = np.hstack([8 * strong, weak, np.full((160, 1), 20)])
    raw += 0.05 * random.standard_normal(raw.shape)
    made = {COMPLETE: (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)}
    choice = choose_projection(made, made, Split(records, records), 8)
    assert (choice.power > 0) == hidden
    best = max(accuracy[COMPLETE] for accuracy in choice.tried.values())
    assert choice.after[COMPLETE] == best
