"""Corners of a chessboard and circles of a grid, as spots of a grey picture, to parts of a pixel.

Around such a corner brightness is a saddle, and around a circle it is a hill or a hollow: the
determinant of the second derivatives is below or above zero, whichever side is brighter. So what is
black to one camera and white to another - a board that is warm where it absorbs light - is found in
both alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.float32]
Shape = Literal["corner", "bright", "dark"]
"""What is looked for: corners where four fields meet, bright circles, dark ones."""

WEAKEST = 0.02
"""Share of the response of the strongest spots that one must have."""


SYMMETRY = 0.3
"""Correlation of what surrounds a spot with the same turned by half, at least."""


@dataclass(frozen=True, eq=False)
class Spots:
    """Spots of one shape.

    Attributes:
        places: (N, 2) x and y in pixels from the upper left corner, the strongest first.
        responses: (N,) how strong.
    """

    places: NDArray[np.float64]
    responses: NDArray[np.float64]


def smoothed(image: Grey, sigma: float) -> Grey:
    """A picture through a Gaussian, its border repeated."""
    reach = max(1, math.ceil(3 * sigma))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2).astype(np.float32)
    weights /= weights.sum()
    for axis in (0, 1):
        padded = np.pad(image, [(reach, reach) if a == axis else (0, 0) for a in (0, 1)], "edge")
        size = image.shape[axis]
        total = np.zeros_like(image)
        for i, weight in enumerate(weights):
            part = padded[i : i + size] if axis == 0 else padded[:, i : i + size]
            total += weight * part
        image = total
    return image


def find_spots(image: Grey, shape: Shape, sigma: float, most: int) -> Spots:
    """The strongest spots of a picture.

    Args:
        image: (H, W) grey, of any scale.
        shape: of what.
        sigma: of the smoothing in pixels: about a quarter of a field's side, half of a circle's
            radius.
        most: at most so many.
    """
    smooth = smoothed(image, sigma)
    rows, columns = np.gradient(smooth)
    rr, rc = np.gradient(rows)
    cc = np.gradient(columns, axis=1)
    determinant = rr * cc - rc * rc
    if shape == "corner":
        response = -determinant
    else:
        curved = rr + cc if shape == "dark" else -(rr + cc)
        response = np.where(curved > 0, determinant, 0)
    reach = max(2, math.ceil(1.5 * sigma))
    edge = reach + 1
    if min(response.shape) <= 2 * edge:
        return Spots(np.zeros((0, 2)), np.zeros(0))
    highest = _highest_around(response, reach)
    peak = (response == highest) & (response > 0)
    peak[:edge] = peak[-edge:] = peak[:, :edge] = peak[:, -edge:] = False
    y, x = np.nonzero(peak)
    strength = response[y, x].astype(float)
    order = np.argsort(-strength, kind="stable")[: 2 * most]
    if shape == "corner":
        order = order[_symmetric(smooth, x[order], y[order], reach)]
    order = order[:most]
    if not len(order):
        return Spots(np.zeros((0, 2)), np.zeros(0))
    # A lamp may be stronger than all of a board.
    usual = strength[order[min(len(order) - 1, 20)]]
    order = order[strength[order] >= WEAKEST * usual]
    places = np.array([_centre(smooth, int(x[i]), int(y[i]), reach) for i in order])
    return Spots(places.reshape(-1, 2), strength[order])


def _highest_around(values: Grey, reach: int) -> Grey:
    """The maximum in the square of 2 reach + 1 around each pixel."""
    for axis in (0, 1):
        padded = np.pad(
            values,
            [(reach, reach) if a == axis else (0, 0) for a in (0, 1)],
            constant_values=-np.inf,
        )
        size = values.shape[axis]
        parts = [
            padded[i : i + size] if axis == 0 else padded[:, i : i + size]
            for i in range(2 * reach + 1)
        ]
        values = np.maximum.reduce(parts)
    return values


def _symmetric(
    smooth: Grey, x: NDArray[np.int64], y: NDArray[np.int64], reach: int
) -> NDArray[np.bool_]:
    """Whether what surrounds pixels is the same when it is turned by half. That of a corner between
    four fields is; that of a field's corner before a plain ground is not."""
    angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    radius = reach + 0.5
    around = smooth[
        np.clip(np.rint(y[:, None] + radius * np.sin(angles)).astype(int), 0, smooth.shape[0] - 1),
        np.clip(np.rint(x[:, None] + radius * np.cos(angles)).astype(int), 0, smooth.shape[1] - 1),
    ].astype(float)
    around -= around.mean(axis=1, keepdims=True)
    opposite = (around * np.roll(around, 8, axis=1)).sum(axis=1)
    symmetric: NDArray[np.bool_] = opposite > SYMMETRY * (around**2).sum(axis=1)
    return symmetric


def _centre(smooth: Grey, x: int, y: int, reach: int) -> tuple[float, float]:
    """Where the quadric that fits what surrounds a pixel is flat: the saddle, top or bottom."""
    height, width = smooth.shape
    for _ in range(3):  # until it is in the pixel in the middle
        patch = smooth[y - reach : y + reach + 1, x - reach : x + reach + 1]
        offset = _flat_place(patch, reach)
        if offset is None:
            return x + 0.5, y + 0.5
        dx, dy = offset
        if max(abs(dx), abs(dy)) <= 0.6:
            return x + dx + 0.5, y + dy + 0.5
        if max(abs(dx), abs(dy)) > reach:
            return x + 0.5, y + 0.5
        x = min(max(x + round(dx), reach), width - 1 - reach)
        y = min(max(y + round(dy), reach), height - 1 - reach)
    return x + dx + 0.5, y + dy + 0.5


def _flat_place(patch: Grey, reach: int) -> tuple[float, float] | None:
    """Where a quadric is flat, beside the middle; None where it is nowhere."""
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(float)
    terms = np.stack((x * x, x * y, y * y, x, y, np.ones_like(x)), axis=-1).reshape(-1, 6)
    a, b, c, d, e, _ = np.linalg.lstsq(terms, patch.ravel().astype(float), rcond=None)[0]
    matrix = np.array([[2 * a, b], [b, 2 * c]])
    if abs(np.linalg.det(matrix)) < 1e-12:
        return None
    dx, dy = np.linalg.solve(matrix, [-d, -e])
    return float(dx), float(dy)
