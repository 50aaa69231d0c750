"""A homography from pairs of points: the normalized direct linear transformation, and the least
squares of what is off in pixels.

Hartley and Zisserman, "Multiple View Geometry in Computer Vision", 2nd edition, 2004: algorithm 4.2
(normalized DLT) and section 4.2.3 (transfer error in one image), by Levenberg's and Marquardt's
method.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runtime.node.boxes.homography import project

Points = NDArray[np.float64]
"""(N, 2), in pixels."""

Matrix = NDArray[np.float64]
"""3 x 3, its last entry 1."""

STEPS = 30
"""Of the least squares, at most; some five are enough as a rule."""


def similarity(points: Points) -> Matrix:
    """The 3 x 3 that brings points (N, 2) around the origin, at a mean distance of about 1."""
    middle = points.mean(axis=0)
    spread = np.sqrt(((points - middle) ** 2).sum(axis=1).mean()) or 1.0
    scale = np.sqrt(2) / spread
    return np.array([[scale, 0, -scale * middle[0]], [0, scale, -scale * middle[1]], [0, 0, 1]])


def moved(matrix: Matrix, points: Points) -> Points:
    """Points (N, 2) through a similarity."""
    found: Points = points @ matrix[:2, :2].T + matrix[:2, 2]
    return found


def direct(source: Points, target: Points) -> Matrix:
    """The homography of least algebraic error from at least four pairs of points.

    Args:
        source, target: (N, 2), in pixels of two frames.
    """
    from_source, from_target = similarity(source), similarity(target)
    rows = equations(moved(from_source, source)[None], moved(from_target, target)[None])[0]
    vector = np.linalg.svd(rows, full_matrices=False)[2][-1]
    return _scaled(np.linalg.inv(from_target) @ vector.reshape(3, 3) @ from_source)


def equations(source: Points, target: Points) -> NDArray[np.float64]:
    """The rows of the direct linear transformation of sets of pairs, (B, N, 2) each: (B, M, 9), M
    at least 9, so that a decomposition always gives the ninth vector."""
    x, y = source[..., 0], source[..., 1]
    u, v = target[..., 0], target[..., 1]
    one, zero = np.ones_like(x), np.zeros_like(x)
    first = np.stack((x, y, one, zero, zero, zero, -u * x, -u * y, -u), axis=-1)
    second = np.stack((zero, zero, zero, x, y, one, -v * x, -v * y, -v), axis=-1)
    rows = np.concatenate((first, second), axis=-2)
    lacking = max(0, 9 - rows.shape[-2])
    return np.pad(rows, ((0, 0), (0, lacking), (0, 0)))


def errors(matrix: Matrix, source: Points, target: Points) -> NDArray[np.float64]:
    """By how many pixels each point of the source lands beside its target: (N,); infinite where it
    is behind the camera."""
    off = np.hypot(*(project(matrix, source) - target).T)
    return np.where(np.isfinite(off), off, np.inf)


def refined(matrix: Matrix, source: Points, target: Points) -> Matrix:
    """The homography of the least sum of squared `errors`, from one that is near.

    Args:
        matrix: to begin with.
        source, target: (N, 2), at least four pairs, of which none is behind the camera.
    """
    from_source, from_target = similarity(source), similarity(target)
    back = np.linalg.inv(from_target)
    unit = _scaled(from_target @ matrix @ np.linalg.inv(from_source))
    a, b = moved(from_source, source), moved(from_target, target)
    off = _off(unit, a, b)
    damping = 1e-3
    for _ in range(STEPS):
        slopes = jacobian(unit, a)
        normal = slopes.T @ slopes
        damped = normal + damping * np.diag(normal.diagonal())
        step = np.linalg.lstsq(damped, -slopes.T @ off, rcond=None)[0]
        tried = unit + np.append(step, 0.0).reshape(3, 3)
        then = _off(tried, a, b)
        if then @ then < off @ off:
            gain = 1 - (then @ then) / (off @ off)
            unit, off, damping = tried, then, damping / 10
            if gain < 1e-12:
                break
        else:
            damping *= 10
            if damping > 1e9:
                break
    return _scaled(back @ unit @ from_source)


def jacobian(matrix: Matrix, points: Points) -> NDArray[np.float64]:
    """(2 N, 8): how the projections of points, first all x and then all y, change with the first
    eight entries of a homography whose ninth is 1."""
    raised = np.column_stack((points, np.ones(len(points))))
    x, y, depth = matrix @ raised.T
    share = raised / depth[:, None]
    zero = np.zeros_like(share)
    first = np.column_stack((share, zero, -share[:, :2] * (x / depth)[:, None]))
    second = np.column_stack((zero, share, -share[:, :2] * (y / depth)[:, None]))
    return np.concatenate((first, second))


def _off(matrix: Matrix, source: Points, target: Points) -> NDArray[np.float64]:
    """(2 N,): what is off in x of all, then in y; infinite where something is behind the camera."""
    found = project(matrix, source) - target
    return np.where(np.isfinite(found), found, 1e9).T.ravel()


def _scaled(matrix: Matrix) -> Matrix:
    scaled: Matrix = matrix / (matrix[2, 2] or np.finfo(float).eps)
    return scaled
