"""Principal axes of embeddings: fewer numbers that rank as well.

The mean is taken out: it is what all people share, and without it embeddings in different states
are easier to compare. Then the axes of greatest variance are kept. Whitening divides each axis by a
power of its standard deviation: how far is judged by mAP, since it helps a network whose features
lie close together and hurts one that was trained to rank by cosine (measured in docs/gallery.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from calibration.embed import Embeddings
from calibration.errors import CalibrationError
from denet.evaluate import Split
from denet.graph import State
from runtime.head import projected

POWERS = (0.0, 0.25, 0.5, 1.0)
"""Of the whitening, that are tried; ties go to the first."""


@dataclass(frozen=True)
class Axes:
    """Principal axes of D numbers, the greatest variance first.

    Attributes:
        mean: (D,).
        axes: (D, K), orthonormal.
        variances: (K,), all above zero.
    """

    mean: NDArray[np.float64]
    axes: NDArray[np.float64]
    variances: NDArray[np.float64]

    def matrix(self, power: float) -> NDArray[np.float32]:
        """(D, K) float32: each axis divided by its standard deviation to `power`, relative to that
        of the first."""
        weights = (self.variances / self.variances[0]) ** (-power / 2)
        matrix: NDArray[np.float32] = (self.axes * weights).astype(np.float32)
        return matrix


@dataclass(frozen=True)
class ProjectionChoice:
    """A projection, and what it was chosen for.

    Attributes:
        mean: (P*C,) float32, of the P parts of an embedding.
        matrix: (P*C, dim) float32.
        power: of its whitening.
        before: mAP in each state without a projection, in per cent.
        tried: mAP in each state with each power.
    """

    mean: NDArray[np.float32]
    matrix: NDArray[np.float32]
    power: float
    before: dict[State, float]
    tried: dict[float, dict[State, float]]

    @property
    def after(self) -> dict[State, float]:
        """mAP in each state with the projection."""
        return self.tried[self.power]


def check_axes(count: int, dim: int) -> None:
    """See that `count` different embeddings vary along `dim` axes.

    Raises:
        CalibrationError: they do not.
    """
    if count - 1 < dim:
        raise CalibrationError(
            f"the samples vary along {count - 1} axes, and {dim} are asked for: take more samples, "
            "or ask for fewer numbers"
        )


def principal_axes(embeddings: NDArray[np.float32], dim: int) -> Axes:
    """The `dim` axes along which (N, D) embeddings vary most.

    Computed in float64 from whichever is smaller, the products of the samples or of the numbers;
    an axis points where its largest number is positive, so that equal samples give equal axes.

    Raises:
        CalibrationError: the embeddings do not vary along so many axes.
    """
    mean = embeddings.mean(axis=0, dtype=np.float64)
    centred = embeddings - mean
    few = len(centred) < centred.shape[1]
    variances, vectors = np.linalg.eigh(centred @ centred.T if few else centred.T @ centred)
    order = np.argsort(-variances, kind="stable")[:dim]
    variances, vectors = variances[order], vectors[:, order]
    check_axes(int(np.sum(variances > 1e-9 * variances[0])) + 1, dim)
    if few:
        vectors = centred.T @ vectors / np.sqrt(variances)
    largest = np.abs(vectors).argmax(axis=0)
    vectors *= np.sign(vectors[largest, np.arange(dim)])
    return Axes(mean, vectors, variances / len(centred))


def choose_projection(
    fitted: Embeddings, judged: Embeddings, split: Split, dim: int
) -> ProjectionChoice:
    """The projection to `dim` numbers with the best mean mAP over the states.

    Args:
        fitted: what it is made from.
        judged: what it is judged by, of other identities.
        split: the records of these.
        dim: how many numbers are left.

    Raises:
        CalibrationError: as `principal_axes`.
    """
    axes = principal_axes(np.concatenate(list(fitted.values())), dim)
    mean = axes.mean.astype(np.float32)

    def rank(power: float) -> dict[State, float]:
        matrix = axes.matrix(power)
        return _accuracy(split, {s: projected(e, mean, matrix) for s, e in judged.items()})

    tried = {power: rank(power) for power in POWERS}
    power = max(POWERS, key=lambda p: mean_map(tried[p]))
    return ProjectionChoice(mean, axes.matrix(power), power, _accuracy(split, judged), tried)


def mean_map(accuracy: Mapping[State, float]) -> float:
    """The mean over the states."""
    return float(np.mean(list(accuracy.values())))


def projection_table(choice: ProjectionChoice) -> Table:
    """mAP in each state without a projection, and with each whitening that was tried."""
    title = "Judged on other identities of the training split"
    table = Table("mAP, %", title=title, title_justify="left")
    table.add_column("before", justify="right")
    for power in choice.tried:
        chosen = " (chosen)" if power == choice.power else ""
        table.add_column(f"whitening {power:g}{chosen}", justify="right")
    for state, before in choice.before.items():
        tried = (f"{accuracy[state]:.2f}" for accuracy in choice.tried.values())
        table.add_row(state.name, f"{before:.2f}", *tried)
    table.add_section()
    means = (f"{mean_map(accuracy):.2f}" for accuracy in choice.tried.values())
    table.add_row("mean", f"{mean_map(choice.before):.2f}", *means)
    return table


def projection_facts(choice: ProjectionChoice) -> dict[str, Any]:
    """What `projection_table` shows, as plain data."""
    return {
        "dim": choice.matrix.shape[1],
        "power": choice.power,
        "before": {state.name: value for state, value in choice.before.items()},
        "tried": {
            str(power): {state.name: value for state, value in accuracy.items()}
            for power, accuracy in choice.tried.items()
        },
    }


def _accuracy(split: Split, embeddings: Embeddings) -> dict[State, float]:
    return {state: split.rank(made, made).map for state, made in embeddings.items()}
