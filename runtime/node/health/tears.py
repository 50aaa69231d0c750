"""Pictures of which one part does not belong to the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runtime.node.health.grid import BANDS, Points
from runtime.node.health.limits import Limits
from runtime.node.health.repeats import FrameChange
from runtime.node.health.verdict import Finding
from runtime.node.sources.frame import Pixels

TEXTURE = 4.0
"""Standard deviation of a band that showed something before it went flat."""

RATIO, MOVED = 1.8, 3.0
"""How many times more, and by how many levels, the lower part must have changed than the upper for
a closer look."""

MATCH, BETTER = 0.8, 0.3
"""The correlation of a row with its earlier self, moved sideways, that counts as a match, and by
how much it must beat the row in its place."""

CONTRAST = 3.0
"""Standard deviation that a row needs to be told from a moved one."""


def half_updated(change: FrameChange | None) -> Finding | None:
    """The upper or lower part of the frame is of the frame before, and the rest is new."""
    if change is None or all(change.repeated):
        return None
    for side, order in (("lower", range(BANDS - 1, -1, -1)), ("upper", range(BANDS))):
        old = 0
        for band in order:
            if not change.repeated[band]:
                break
            old += 1
        kept, new = order[:old], order[old:]
        # Single quiet bands repeat in any coded stream: only noisy ones say something.
        if any(change.noisy[b] for b in kept) and not any(
            change.repeated[b] and change.noisy[b] for b in new
        ):
            return Finding("torn", f"the {side} {old} of {BANDS} parts are of an earlier picture")
    return None


def filled(points: Points, flat: list[bool], before: list[float], limits: Limits) -> Finding | None:
    """The upper or lower part of the frame is empty, where something was.

    Args:
        points: of the frame.
        flat: its flat bands.
        before: the variances of the bands in the last good frame.
        limits: what is black and white: clipped parts are flat without being empty.
    """
    if not any(flat) or all(flat):
        return None
    for side, order in (("lower", range(BANDS - 1, -1, -1)), ("upper", range(BANDS))):
        empty = 0
        for band in order:
            inside = limits.black_level < points.means[band] < limits.white_level
            if not (flat[band] and inside and before[band] >= TEXTURE**2):
                break
            empty += 1
        if empty:
            level = points.means[order[0]]
            return Finding(
                "torn", f"the {side} {empty} of {BANDS} parts are empty: {level:.0f} of 255"
            )
    return None


def shifted(image: Pixels, before: Pixels, change: FrameChange) -> Finding | None:
    """The lower part of the frame is shifted sideways, as after a loss of synchronization.

    It is seldom suspected, so that the closer look at whole rows costs little on average.

    Args:
        image: the frame.
        before: the last good one.
        change: since the frame before, good or not. A part that no longer changes is not torn:
            otherwise a tear that was missed would make every good frame look torn for ever.
    """
    bands = change.bands
    top = next(
        (
            k
            for k in range(1, BANDS - 1)
            # The band in which the tear is belongs to both parts.
            if min(bands[k + 1 :]) > max(RATIO * max(bands[:k]), MOVED)
        ),
        None,
    )
    if top is None:
        return None
    height = image.shape[0]
    first = (top + 1) * height // BANDS
    # More of them near the foot: after a torn frame, what changed begins above what is torn now.
    rows = [first + int((height - first) * part) for part in (0.3, 0.55, 0.8, 0.95)]
    shifts = [s for row in rows if (s := _shift(_row(image, row), _row(before, row))) is not None]
    for shift in shifts:
        if sum(abs(shift - other) <= 1 for other in shifts) >= 2:
            part = f"the lower {BANDS - top} of {BANDS} parts"
            return Finding("torn", f"{part} are shifted by {abs(shift)} pixels")
    return None


def _row(image: Pixels, row: int) -> NDArray[np.float32]:
    line = image[row, :, 1] if image.ndim == 3 else image[row]
    line = line.astype(np.float32)
    centred: NDArray[np.float32] = line - line.mean()
    return centred


def _shift(row: NDArray[np.float32], before: NDArray[np.float32]) -> int | None:
    """By how many pixels a row is shifted against its earlier self; None if it is not."""
    length = float(np.linalg.norm(row) * np.linalg.norm(before))
    if length < CONTRAST**2 * row.size:
        return None
    spectrum = np.fft.rfft(row) * np.conj(np.fft.rfft(before))
    match = np.fft.irfft(spectrum, row.size) / length
    best = int(match.argmax())
    shift = best if best <= row.size // 2 else best - row.size
    if abs(shift) < 2 or match[best] < MATCH or match[best] - match[0] < BETTER:
        return None
    return shift
