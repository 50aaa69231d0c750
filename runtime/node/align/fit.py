"""A homography from pairs of points of which some are wrong.

RANSAC (Fischler and Bolles, 1981) with the cost of MSAC (Torr and Zisserman, 2000): of samples of
four pairs each gives a homography, and the one counts from which all pairs are least off, each by
no more than a limit. It is then fitted to the pairs within the limit by least squares, until these
stay the same. The samples are all that there are, or drawn from a fixed seed: the same pairs give
the same homography.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.node.align.direct import (
    Matrix,
    Points,
    direct,
    equations,
    errors,
    jacobian,
    moved,
    refined,
    similarity,
)
from runtime.node.boxes.homography import grid_of, lands_inside
from runtime.node.errors import NodeError

LEAST = 6
"""Pairs that are wanted: four fit exactly whatever they are, and say nothing of each other."""

SAMPLES = 3000
"""Of four pairs each. With 60 % of wrong pairs one in 40 is right."""

BEST = 8
"""Samples that are fitted to all pairs which agree with them."""

ROUNDS = 20
"""Of least squares and choosing anew which pairs are right."""

NARROW = 0.02
"""Width of a set of points, as a share of its length, up to which it is a line."""

LEVELS = 3.0
"""Standard deviations from which on a pair is left out, where the others agree better than the
limit asks."""

READING = 0.3
"""Pixels of error that are taken for granted in what is said of how sure a homography is."""

MAJORITY = 0.5
"""Share of the pairs that must agree, as a rule."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """A homography and what it was fitted to.

    Attributes:
        matrix: 3 x 3, from pixels of the source to pixels of the target.
        kept: (N,) whether a pair was used; the others were left out.
        errors: (N,) by how many pixels of the target each is off.
        limit: from which on one is left out, in pixels.
    """

    matrix: Matrix
    kept: NDArray[np.bool_]
    errors: NDArray[np.float64]
    limit: float

    def unsure(self, points: Points, source: Points) -> NDArray[np.float64]:
        """How far the projections of points (M, 2) may be off because the pairs are: one standard
        deviation in pixels, (M,), to first order. What is far from all pairs is unsure.

        Args:
            points: of the source frame.
            source: (N, 2), those that it was fitted to.
        """
        used, scale = source[self.kept], similarity(source[self.kept])
        free = max(1, 2 * len(used) - 8)
        variance = max(READING**2, float((self.errors[self.kept] ** 2).sum()) / free)
        unit = self.matrix @ np.linalg.inv(scale)
        unit = unit / unit[2, 2]
        slopes = jacobian(unit, moved(scale, used))
        spread = variance * np.linalg.pinv(slopes.T @ slopes)
        ways = jacobian(unit, moved(scale, points)).reshape(2, len(points), 8)
        found: NDArray[np.float64] = np.sqrt(np.einsum("aij,jk,aik->i", ways, spread, ways))
        return found


def fit(source: Points, target: Points, limit: float, majority: float = MAJORITY) -> Fitted:
    """The homography that most pairs agree on.

    Args:
        source, target: (N, 2), in pixels.
        limit: pixels of the target from which on a pair is wrong.
        majority: share of the pairs that must agree.

    Raises:
        NodeError: there are too few pairs, they are on one line, or too few of them agree with any
            homography.
    """
    if len(source) < LEAST:
        raise NodeError(
            f"{_pairs(len(source))}: give at least {LEAST}: four fit whatever they are, and more "
            "show which are wrong"
        )
    for points in (source, target):
        if _on_a_line(points):
            raise NodeError(
                f"{_pairs(len(source))}: all but one at most are on one line, which fits many "
                "homographies: add points beside it"
            )
    candidates = _candidates(source, target, limit)
    tried = [_settled(matrix, source, target, limit) for matrix in candidates]
    found = min(
        (each for each in tried if each is not None),
        key=lambda each: _cost(each.errors, limit),
        default=None,
    )
    if found is None or found.kept.sum() < max(LEAST, math.ceil(majority * len(source))):
        agree = 0 if found is None else int(found.kept.sum())
        raise NodeError(
            f"{_pairs(len(source))}: at most {agree} agree on a homography within {limit:.1f} "
            "pixels: see that they show the same places, at one distance, or allow for more with "
            "--within"
        )
    used = source[found.kept], target[found.kept]
    if any(_on_a_line(points) for points in used):
        raise NodeError(
            f"{_pairs(len(source))}: the {found.kept.sum()} that agree are on one line but for one "
            "at most, which fits many homographies: add points beside it"
        )
    return found


def _candidates(source: Points, target: Points, limit: float) -> list[Matrix]:
    """Homographies of samples, those that agree best with all pairs first."""
    chosen = _samples(len(source))
    a, b = source[chosen], target[chosen]
    sound = _sound(a, b, source, target)
    chosen = chosen[sound]
    if not len(chosen):
        return []
    from_source, from_target = similarity(source), similarity(target)
    unit_a, unit_b = moved(from_source, source), moved(from_target, target)
    rows = equations(unit_a[chosen], unit_b[chosen])
    units = np.linalg.svd(rows)[2][:, -1].reshape(-1, 3, 3)
    matrices = np.linalg.inv(from_target) @ units @ from_source
    costs = np.concatenate(
        [_costs(part, source, target, limit) for part in np.array_split(matrices, 16)]
    )
    best = np.argsort(costs, kind="stable")[:BEST]
    return [matrices[i] / matrices[i, 2, 2] for i in best if matrices[i, 2, 2]]


def _settled(matrix: Matrix, source: Points, target: Points, limit: float) -> Fitted | None:
    """A homography fitted to the pairs that agree with it, until they stay the same; None if they
    are too few."""
    off = errors(matrix, source, target)
    kept, within = off <= limit, limit
    for _ in range(ROUNDS):
        if kept.sum() < 4 or _degenerate(source[kept]) or _degenerate(target[kept]):
            return None
        start = direct(source[kept], target[kept])
        if not np.all(np.isfinite(errors(start, source[kept], target[kept]))):
            start = matrix
        matrix = refined(start, source[kept], target[kept])
        off = errors(matrix, source, target)
        within = _tightened(off[kept], limit)
        before, kept = kept, off <= within
        if np.array_equal(before, kept):
            break
    return Fitted(matrix, kept, off, within)


def _tightened(off: NDArray[np.float64], limit: float) -> float:
    """A limit that suits pairs which agree better than was asked; at least one pixel."""
    if len(off) <= LEAST:
        return limit
    # The median of the length of a Gaussian vector in the plane is 1.177 standard deviations.
    spread = float(np.median(off)) / 1.177 * (1 + 4 / (len(off) - 4))
    return min(limit, max(1.0, LEVELS * math.sqrt(2) * spread))


def _cost(off: NDArray[np.float64], limit: float) -> float:
    return float((np.minimum(off, limit) ** 2).sum())


def _costs(matrices: Matrix, source: Points, target: Points, limit: float) -> NDArray[np.float64]:
    """(B,) `_cost` of each of many homographies (B, 3, 3)."""
    raised = np.column_stack((source, np.ones(len(source)))) @ matrices.transpose(0, 2, 1)
    depth = raised[:, :, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        off = ((raised[:, :, :2] / depth[:, :, None] - target) ** 2).sum(axis=2)
    seen = np.isfinite(off) & (depth * matrices[:, 2, 2, None] > 0)
    costs: NDArray[np.float64] = np.where(seen, np.minimum(off, limit**2), limit**2).sum(axis=1)
    return costs


def _samples(count: int) -> NDArray[np.int64]:
    """(B, 4): sets of four out of `count`."""
    if math.comb(count, 4) <= SAMPLES:
        return np.array(list(itertools.combinations(range(count), 4)))
    chance = np.random.default_rng(0)
    return np.array([chance.choice(count, 4, replace=False) for _ in range(SAMPLES)])


def _sound(a: Points, b: Points, source: Points, target: Points) -> NDArray[np.bool_]:
    """Which samples (B, 4, 2) have no three points on a line, and every three of them turn the same
    way in both frames, as what is seen from one side does."""
    sound = np.ones(len(a), bool)
    wide_a, wide_b = np.ptp(source, axis=0).max(), np.ptp(target, axis=0).max()
    for corners in itertools.combinations(range(4), 3):
        turn_a, turn_b = _turn(a[:, corners]), _turn(b[:, corners])
        least_a, least_b = 1e-4 * wide_a**2, 1e-4 * wide_b**2
        sound &= (np.abs(turn_a) > least_a) & (np.abs(turn_b) > least_b)
        sound &= np.sign(turn_a) == np.sign(turn_b)
    return sound


def _turn(triangles: Points) -> NDArray[np.float64]:
    """Twice the signed areas of triangles (B, 3, 2)."""
    first, second = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    return first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]


def _on_a_line(points: Points) -> bool:
    """Whether all points but one at most are on a line: then homographies are without number."""
    return any(_narrow(np.delete(points, i, axis=0)) for i in _outlying(points))


def _outlying(points: Points) -> list[int]:
    """The points that a line through the others may lack: those farthest from some line."""
    if len(points) <= 64:
        return list(range(len(points)))
    middle = points - np.median(points, axis=0)
    across = np.linalg.svd(middle, full_matrices=False)[2][1]
    return [int(np.abs(middle @ across).argmax()), int(np.hypot(*middle.T).argmax())]


def _narrow(points: Points) -> bool:
    along, across = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)[1]
    return bool(across <= NARROW * along)


def _degenerate(points: Points) -> bool:
    return bool(np.linalg.matrix_rank(points - points.mean(axis=0), tol=1e-6) < 2)


def _pairs(count: int) -> str:
    return f"{count} pair{'' if count == 1 else 's'} of points"


def overlap_of(matrix: Matrix, source: tuple[int, int], target: tuple[int, int]) -> Points:
    """Points (N, 2) of the source frame, on an even grid, that the target frame shows."""
    grid = grid_of(source, 17)
    return grid[lands_inside(matrix, grid, target)]
