"""Boards that are drawn as each kind of camera sees them: where their spots are found."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from denet.graph import Modality
from runtime.node.align.board import Board, board_pairs, find_board, parse_board
from runtime.node.errors import NodeError
from runtime.node.sources import Frame
from tests.runtime.node.align import boards

COLUMNS, ROWS = 9, 6


def placed(x: float, y: float, step: float, turn: float, tilt: float) -> NDArray[np.float64]:
    """From a board, in fields, to pixels."""
    c, s = step * np.cos(turn), step * np.sin(turn)
    return np.array([[c, -s, x], [s, c, y], [tilt, 1.5 * tilt, 1.0]])


SIGHTS = {  # place, frame, and how it looks
    "rgb": (placed(160, 90, 30, 0.1, 0.004), (640, 360), {}),
    "nir": (placed(150, 110, 28, -0.15, 0.002), (640, 360), {"levels": (90, 160), "noise": 4}),
    "tir": (placed(80, 60, 20, 0.12, 0.006), (320, 256), {"levels": (200, 90), "blur": 1.5}),
}
"""To the thermal camera the black fields, which took the light, are warm and bright."""


@pytest.mark.parametrize("circles", [False, True], ids=["chessboard", "circles"])
@pytest.mark.parametrize("modality", SIGHTS)
def test_spots_are_found_to_parts_of_a_pixel(modality: str, circles: bool) -> None:
    place, size, look = SIGHTS[modality]
    image = boards.draw(place, size, COLUMNS, ROWS, circles=circles, **look)
    found = find_board(image.astype(np.float32), Board(COLUMNS, ROWS, circles))
    assert found is not None
    off = np.hypot(*(found - boards.spots(place, COLUMNS, ROWS)).reshape(-1, 2).T)
    assert off.max() < 0.4
    assert np.sqrt((off**2).mean()) < 0.15


def test_a_large_picture_is_searched_coarsely_and_read_finely() -> None:
    place = placed(300, 200, 90, 0.2, 0.003)
    image = boards.draw(place, (1920, 1080), 7, 5)
    found = find_board(image.astype(np.float32), Board(7, 5))
    assert found is not None
    assert np.abs(found - boards.spots(place, 7, 5)).max() < 0.3


def test_a_tilted_board_is_found() -> None:
    place = placed(150, 330, 28, -0.9, 0.02)
    image = boards.draw(place, (640, 480), COLUMNS, ROWS)
    found = find_board(image.astype(np.float32), Board(COLUMNS, ROWS))
    assert found is not None
    assert np.abs(found - boards.spots(place, COLUMNS, ROWS)).max() < 0.4


@pytest.mark.parametrize(("x", "y"), [(-80, 60), (420, 90), (160, 260)])
def test_half_a_board_is_none(x: int, y: int) -> None:
    image = boards.draw(placed(x, y, 30, 0.1, 0.002), (640, 360), COLUMNS, ROWS)
    assert find_board(image.astype(np.float32), Board(COLUMNS, ROWS)) is None


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_found_where_no_board_is(seed: int) -> None:
    chance = np.random.default_rng(seed)
    scene = boards.scene(240, 320, seed) + chance.normal(0, 3, (240, 320))
    for circles in (False, True):
        assert find_board(scene.astype(np.float32), Board(COLUMNS, ROWS, circles)) is None


def test_a_flat_picture_has_no_board() -> None:
    assert find_board(np.full((100, 120), 80, np.float32), Board(4, 3)) is None
    assert find_board(np.zeros((8, 8), np.float32), Board(4, 3)) is None


@pytest.mark.parametrize("turn", [0.0, 0.7, 1.5, 2.6, 3.5])
def test_spots_are_paired_however_the_board_is_held(turn: float) -> None:
    """Turned by whatever: the cameras stand side by side, and see it turned alike."""
    frames: dict[Modality, Frame] = {}
    truth = {}
    modalities: tuple[Modality, ...] = ("rgb", "tir")
    for m, centre, size, step in (
        (modalities[0], (320, 240), (640, 480), 28.0),
        (modalities[1], (150, 130), (320, 256), 15.0),
    ):
        middle = np.array([[1, 0, -(COLUMNS - 1) / 2], [0, 1, -(ROWS - 1) / 2], [0, 0, 1]])
        place = placed(*centre, step, turn + (0.1 if m == "tir" else 0), 0.001) @ middle
        levels = (200, 90) if m == "tir" else (30, 220)
        frames[m] = Frame(m, 0.0, boards.draw(place, size, COLUMNS, ROWS, levels=levels), 0)
        truth[m] = boards.spots(place, COLUMNS, ROWS).reshape(-1, 2)
    pairs = np.array(board_pairs(frames, Board(COLUMNS, ROWS), {})["tir"])
    assert len(pairs) == COLUMNS * ROWS
    for source, target in pairs:
        which = int(np.hypot(*(truth["rgb"] - source).T).argmin())
        assert np.abs(truth["tir"][which] - target).max() < 0.5


def test_sixteen_bits_are_read_as_they_are() -> None:
    """Some kelvin of a thermal camera's 16 bits are lost in 8."""
    place, size, _ = SIGHTS["tir"]
    image = boards.draw(place, size, COLUMNS, ROWS, levels=(120, 90), blur=1.5, noise=1)
    deep = 28_000 + image.astype(np.uint16)
    rgb = boards.draw(SIGHTS["rgb"][0], SIGHTS["rgb"][1], COLUMNS, ROWS)
    frames: dict[Modality, Frame] = {
        "rgb": Frame("rgb", 0.0, np.stack([rgb] * 3, axis=-1), 0),
        "tir": Frame("tir", 0.0, deep, 0),
    }
    assert len(board_pairs(frames, Board(COLUMNS, ROWS), {})["tir"]) == COLUMNS * ROWS


@pytest.mark.parametrize("text", ["9", "9x", "2x6", "x", "9x6x2", "-9x6", "9 by 6", "1000x4"])
def test_what_is_no_board_is_refused(text: str) -> None:
    with pytest.raises(NodeError, match="write COLUMNSxROWS"):
        parse_board(text, circles=False, option="--board")


@pytest.mark.parametrize("circles", [False, True], ids=["chessboard", "circles"])
def test_boards_are_found_wherever_they_are_held(circles: bool) -> None:
    """At random places, sizes, turns, tilts and sharpness, as long as the frame has all of them."""
    chance = np.random.default_rng(0)
    tried = 0
    while tried < 10:
        scale, turn, tilts = chance.uniform(14, 40), chance.uniform(-0.5, 0.5), (-0.012, 0.02)
        c, s, (px, py) = scale * np.cos(turn), scale * np.sin(turn), chance.uniform(*tilts, 2)
        x, y = chance.uniform((60, 60), (300, 200))
        place = np.array([[1, 0, x], [0, 1, y], [0, 0, 1]]) @ [[c, -s, 0], [s, c, 0], [px, py, 1]]
        outer = boards.spots(place @ [[1, 0, -1.6], [0, 1, -1.6], [0, 0, 1]], 11, 8)
        truth = boards.spots(place, 7, 5)
        steps = np.hypot(*np.diff(truth, axis=1).reshape(-1, 2).T)
        if not ((outer > 5) & (outer < (475, 355))).all() or steps.min() < 10:
            continue
        tried += 1
        blur = chance.uniform(0, 1.2)
        image = boards.draw(
            place, (480, 360), 7, 5, circles=circles, blur=blur, noise=3, seed=tried
        )
        found = find_board(image.astype(np.float32), Board(7, 5, circles))
        assert found is not None
        assert np.hypot(*(found - truth).reshape(-1, 2).T).max() < 0.5
