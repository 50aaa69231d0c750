"""How much boxes overlap, and which of several stand for one thing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float64]
"""(N, 4): left, top, right and bottom of each, in pixels; none is empty."""


def overlaps(box: NDArray[np.float64], others: Boxes) -> NDArray[np.float64]:
    """Intersection over union of one box (4,) with each of others (N, 4): (N,), of 0 to 1."""
    corner = np.maximum(box[:2], others[:, :2])
    sides = np.clip(np.minimum(box[2:], others[:, 2:]) - corner, 0, None)
    common = sides.prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1)
    whole: NDArray[np.float64] = common / ((box[2:] - box[:2]).prod() + areas - common)
    return whole


def suppress(
    boxes: Boxes, scores: NDArray[np.float64], labels: NDArray[np.int64], overlap: float
) -> NDArray[np.int64]:
    """Greedy suppression (NMS): of boxes of one class that overlap the one of the highest score.

    Args:
        boxes: of candidates, (N, 4).
        scores: of each, (N,).
        labels: class of each, (N,).
        overlap: intersection over union above which a box is suppressed.

    Returns:
        Indices of those that stay, the highest score first; of equal scores the earlier.
    """
    kept: list[int] = []
    order = np.argsort(-scores, kind="stable")
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(int(best))
        same = (labels[rest] == labels[best]) & (overlaps(boxes[best], boxes[rest]) > overlap)
        order = rest[~same]
    return np.array(kept, np.int64)
