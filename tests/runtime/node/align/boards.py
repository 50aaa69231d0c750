"""Draws boards as cameras see them: exact, since each part of a pixel is looked up on the board."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

OVERSAMPLING = 4
"""Looks at a pixel in each direction."""

MARGIN = 1.5
"""Fields of white around a board."""


def scene(height: int, width: int, seed: int) -> NDArray[np.float64]:
    """What is behind: broad patches."""
    chance = np.random.default_rng(seed)
    coarse = chance.uniform(60, 190, (height // 40 + 2, width // 40 + 2))
    y, x = np.arange(height) / 40, np.arange(width) / 40
    rows = (
        coarse[y.astype(int)] * (1 - y % 1)[:, None] + coarse[y.astype(int) + 1] * (y % 1)[:, None]
    )
    columns = x.astype(int)
    found: NDArray[np.float64] = rows[:, columns] * (1 - x % 1) + rows[:, columns + 1] * (x % 1)
    return found


def draw(
    homography: NDArray[np.float64],
    size: tuple[int, int],
    columns: int,
    rows: int,
    *,
    circles: bool = False,
    levels: tuple[float, float] = (30, 220),
    blur: float = 0.0,
    noise: float = 2.0,
    seed: int = 0,
) -> NDArray[np.uint8]:
    """A board in a frame.

    Args:
        homography: from the board, in fields, to pixels: its spot (0, 0) is at (0, 0).
        size: (width, height) of the frame.
        columns, rows: of its spots.
        circles: spots are circles; else corners inside of a chessboard.
        levels: of what is black and what is white on it.
        blur: standard deviation in pixels.
        noise: levels.
        seed: of scene and noise.
    """
    width, height = size
    steps = (np.arange(OVERSAMPLING) + 0.5) / OVERSAMPLING
    back = np.linalg.inv(homography)
    total = np.zeros((height, width))
    ground = scene(height, width, seed)
    for dy in steps:
        for dx in steps:
            x, y = np.meshgrid(np.arange(width) + dx, np.arange(height) + dy)
            raised = np.stack((x, y, np.ones_like(x)), axis=-1) @ back.T
            u, v = raised[..., 0] / raised[..., 2], raised[..., 1] / raised[..., 2]
            if circles:
                near_u, near_v = np.round(u), np.round(v)
                is_spot = (near_u >= 0) & (near_u < columns) & (near_v >= 0) & (near_v < rows)
                black = is_spot & (np.hypot(u - near_u, v - near_v) < 0.3)
                left, right, top, bottom = -MARGIN, columns - 1 + MARGIN, -MARGIN, rows - 1 + MARGIN
            else:
                fields = (u >= -1) & (u < columns) & (v >= -1) & (v < rows)
                black = fields & ((np.floor(u) + np.floor(v)) % 2 == 0)
                left, right, top, bottom = -1 - MARGIN, columns + MARGIN, -1 - MARGIN, rows + MARGIN
            on = (u >= left) & (u < right) & (v >= top) & (v < bottom)
            total += np.where(on, np.where(black, *levels), ground)
    image = total / OVERSAMPLING**2
    if blur:
        image = _blurred(image, blur)
    image = image + np.random.default_rng(seed).normal(0, noise, image.shape)
    return image.clip(0, 255).astype(np.uint8)


def spots(homography: NDArray[np.float64], columns: int, rows: int) -> NDArray[np.float64]:
    """Where they are: (rows, columns, 2)."""
    u, v = np.meshgrid(np.arange(columns), np.arange(rows))
    raised = np.stack((u, v, np.ones_like(u)), axis=-1) @ homography.T
    found: NDArray[np.float64] = raised[..., :2] / raised[..., 2:]
    return found


def _blurred(image: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    reach = int(np.ceil(4 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    padded = np.pad(image, reach, mode="edge")
    rows = np.apply_along_axis(lambda line: np.convolve(line, kernel, "valid"), 0, padded)
    return np.apply_along_axis(lambda line: np.convolve(line, kernel, "valid"), 1, rows)
