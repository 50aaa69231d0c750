"""What a network's outputs say before suppression: boxes, scores and classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from runtime.node.boxes.overlap import Boxes

Outputs = Mapping[str, NDArray[Any]]
"""Of a network, by name, with the axis of the batch, which is 1."""


class Candidates(NamedTuple):
    """Boxes (N, 4) in pixels of the network's input, scores (N,) and numbers of classes (N,)."""

    boxes: Boxes
    scores: NDArray[np.float64]
    labels: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Demand:
    """What is looked for.

    Attributes:
        classes: numbers, (K,).
        score: the least.
    """

    classes: NDArray[np.int64]
    score: float


def of_each_class(boxes: NDArray[Any], scores: NDArray[Any], demand: Demand) -> Candidates:
    """Candidates of boxes (N, 4) that have a score of each class (N, C): one for each class whose
    score is high enough."""
    wanted = scores[:, demand.classes].astype(np.float64)
    rows, columns = np.nonzero(wanted >= demand.score)
    return Candidates(
        boxes[rows].astype(np.float64), wanted[rows, columns], demand.classes[columns]
    )


def of_one_class(
    boxes: NDArray[Any], scores: NDArray[Any], labels: NDArray[Any], demand: Demand
) -> Candidates:
    """Candidates of boxes (N, 4) that have one score and one class each."""
    labels = labels.astype(np.int64)
    rows = np.nonzero((scores >= demand.score) & np.isin(labels, demand.classes))[0]
    return Candidates(boxes[rows].astype(np.float64), scores[rows].astype(np.float64), labels[rows])


def around_centres(centred: NDArray[Any]) -> Boxes:
    """Left, top, right and bottom of boxes (N, 4) given as centre x, y, width and height."""
    centred = centred.astype(np.float64)
    centre, half = centred[:, :2], centred[:, 2:] / 2
    return np.hstack((centre - half, centre + half))


def sigmoid(values: NDArray[Any]) -> NDArray[np.float64]:
    """Of logits; no value overflows."""
    found: NDArray[np.float64] = 0.5 * (1 + np.tanh(0.5 * values.astype(np.float64)))
    return found
