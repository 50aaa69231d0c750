"""A calibration board in the frame of one camera: a chessboard, or a grid of circles."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from denet.graph import Modality
from denet.pixels import FULL, Range
from runtime.node.align.lattice import Grid, alike, find_grid, unevenness
from runtime.node.align.points import Place
from runtime.node.align.spots import Grey, Shape, find_spots
from runtime.node.boxes.homography import REFERENCE
from runtime.node.errors import NodeError
from runtime.node.sources.frame import Frame
from runtime.preprocess import to_pillow

SIDE = 900
"""Pixels of the longer side in which a board is looked for; its points are refined in the frame."""

SIGMAS = (1.5, 2.5)
"""Of the smoothing, in pixels of each of `SCALES`: thermal pictures are soft."""

SCALES = (1, 2, 4)
"""Pixels put together: boards are near or far."""

FLAT = 0.03
"""Of a step between two spots: by how much they may be off those of a flat board. What chance makes
of noise is off by more."""

SPARE = 4
"""Times as many spots as the board has are looked at: a scene has corners of its own."""


@dataclass(frozen=True)
class Board:
    """What a board looks like.

    Attributes:
        columns, rows: of corners inside of a chessboard where four fields meet, or of circles.
        circles: it has circles, in straight rows and columns.
    """

    columns: int
    rows: int
    circles: bool = False

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """Of its spots, by themselves dark or bright."""
        return ("dark", "bright") if self.circles else ("corner",)

    def describe(self) -> str:
        """For a person."""
        return f"a board of {self.columns}x{self.rows} {'circles' if self.circles else 'corners'}"


def parse_board(text: str, *, circles: bool, option: str) -> Board:
    """A board of a command line: "9x6".

    Raises:
        NodeError: it is none.
    """
    found = re.fullmatch(r"(\d{1,3})x(\d{1,3})", text.strip().lower())
    if found is None or min(int(found[1]), int(found[2])) < 3:
        raise NodeError(
            f"{option} {text!r}: write COLUMNSxROWS, at least 3 of each, as 9x6: "
            + ("circles" if circles else "corners inside of the board, where four fields meet")
        )
    return Board(int(found[1]), int(found[2]), circles)


def find_board(grey: Grey, board: Board) -> Grid | None:
    """Where the spots of a board are in a picture: (rows, columns, 2) in its pixels; None where it
    is not seen as a whole.

    Args:
        grey: (H, W), of any scale, black and white either way.
        board: what is looked for.
    """
    step = max(1, round(max(grey.shape) / SIDE))
    most = SPARE * board.columns * board.rows + 50
    best: tuple[float, Grid, Shape, float, int] | None = None
    for scale in SCALES:
        small = _reduced(grey, step * scale)
        for sigma in SIGMAS:
            for shape in board.shapes:
                spots = find_spots(small, shape, sigma, most)
                grid = find_grid(spots, board.columns, board.rows)
                if grid is None:
                    continue
                uneven = unevenness(grid)
                if uneven < FLAT and (best is None or uneven < best[0]):
                    best = uneven, grid, shape, sigma, step * scale
    if best is None:
        return None
    _, grid, shape, sigma, scale = best
    return grid if scale == 1 else _in_full(grey, grid * scale, shape, sigma * scale)


def board_pairs(
    frames: Mapping[Modality, Frame], board: Board, ranges: Mapping[Modality, Range]
) -> dict[Modality, list[tuple[Place, Place]]]:
    """Pairs of points of each camera that sees the board at a moment at which RGB sees it, too.

    Args:
        frames: of one moment.
        board: what is looked for.
        ranges: values of black and white of 16-bit pixels by modality.
    """
    reference = frames.get(REFERENCE)
    if reference is None or len(frames) < 2:
        return {}
    grid = find_board(grey_of(reference, ranges), board)
    if grid is None:
        return {}
    found = {}
    for m, frame in frames.items():
        if m == REFERENCE:
            continue
        other = find_board(grey_of(frame, ranges), board)
        if other is not None:
            both = np.concatenate((grid, alike(grid, other)), axis=2).reshape(-1, 4).tolist()
            found[m] = [((x, y), (u, v)) for x, y, u, v in both]
    return found


def grey_of(frame: Frame, ranges: Mapping[Modality, Range]) -> Grey:
    """The brightness of a frame, (H, W), of 0 to 255. 16 bits keep their steps."""
    image = frame.image
    if image.dtype == np.uint16:
        return image.astype(np.float32)
    picture = to_pillow(image, ranges.get(frame.modality, FULL)).convert("L")
    return np.asarray(picture, np.float32)


def _reduced(grey: Grey, step: int) -> Grey:
    """A picture of which each pixel is the mean of step x step."""
    if step == 1:
        return grey
    height, width = grey.shape[0] // step * step, grey.shape[1] // step * step
    parts = grey[:height, :width].reshape(height // step, step, width // step, step)
    mean: Grey = parts.mean(axis=(1, 3), dtype=np.float32)
    return mean


def _in_full(grey: Grey, grid: Grid, shape: Shape, sigma: float) -> Grid:
    """The grid to parts of a pixel of the whole picture; a spot that is not found there stays."""
    refined = grid.copy()
    reach = int(np.ceil(6 * sigma))
    for row, column in np.ndindex(*grid.shape[:2]):
        x, y = grid[row, column]
        left, top = max(0, int(x) - reach), max(0, int(y) - reach)
        window = grey[top : int(y) + reach + 1, left : int(x) + reach + 1]
        spots = find_spots(window, shape, sigma, 8)
        if len(spots.places):
            places = spots.places + np.array([left, top])
            nearest = int(np.hypot(*(places - (x, y)).T).argmin())
            if np.hypot(*(places[nearest] - (x, y))) <= 0.5 * sigma:
                refined[row, column] = places[nearest]
    return refined
