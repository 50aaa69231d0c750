"""People who are drawn as they walk before two or three cameras, whose homography is known."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from denet.data.synthetic.street import Street, Visit
from denet.graph import Modality
from runtime.node.align.aligned import align
from runtime.node.align.found import find_people
from runtime.node.align.people import People, people_finders
from runtime.node.boxes.box import Box
from runtime.node.boxes.homography import project
from runtime.node.boxes.settings import BoxSettings
from runtime.node.errors import NodeError
from runtime.node.sources import Frame

TRUTH: Mapping[Modality, NDArray[np.float64]] = {
    "nir": np.array([[1.02, 0.03, -14.0], [-0.02, 0.99, 9.0], [2e-5, 0.0, 1.0]]),
    "tir": np.array([[0.62, 0.02, -8.0], [0.01, 0.64, 6.0], [4e-5, 1e-5, 1.0]]),
}
SIZES: Mapping[Modality, tuple[int, int]] = {
    "rgb": (480, 320),
    "nir": (480, 320),
    "tir": (300, 210),
}

VISITS = (
    Visit(0, (2.5, 8.0), (-40, 520), 200, 110),
    Visit(1, (3.5, 9.0), (520, -40), 290, 170),
    Visit(2, (8.5, 14.0), (-40, 520), 245, 140),
)


@pytest.fixture(scope="module")
def moments() -> list[tuple[dict[Modality, Frame], float]]:
    street = Street(3, 3, SIZES["rgb"])
    seen = []
    for number, drawn in enumerate(street.frames(VISITS, 5.0, 70)):
        frames: dict[Modality, Frame] = {}
        for m, size in SIZES.items():
            image = Image.fromarray(drawn.pixels[m])
            if m in TRUTH:
                back = np.linalg.inv(TRUTH[m])
                data = tuple((back / back[2, 2]).ravel()[:8])
                image = image.transform(
                    size, Image.Transform.PERSPECTIVE, data, Image.Resampling.BILINEAR
                )
            frames[m] = Frame(m, number / 5.0, np.asarray(image), number)
        seen.append((frames, number / 5.0))
    return seen


def off(matrix: NDArray[np.float64], m: Modality) -> float:
    """Where people walk: pixels by which a homography differs from the true one, at most."""
    x, y = np.meshgrid(np.linspace(30, 450, 9), np.linspace(100, 290, 5))
    grid = np.column_stack((x.ravel(), y.ravel()))
    return float(np.hypot(*(project(matrix, grid) - project(TRUTH[m], grid)).T).max())


def test_cameras_are_aligned_by_who_walks_before_them(
    moments: list[tuple[dict[Modality, Frame], float]],
) -> None:
    people = People(people_finders(BoxSettings(), tuple(SIZES), {}))
    points, seen = find_people(moments, people, None)
    found = align(points, None, 0.02)
    assert seen.sizes == SIZES
    assert set(seen.frames) == set(SIZES)
    for m in TRUTH:
        # One per cent of the frame's width.
        assert off(found[m].fitted.matrix, m) < 0.012 * SIZES[m][0], m
        assert found[m].median < 3


class Played:
    """Finds who is said to be there."""

    def __init__(self, boxes: list[list[Box]]) -> None:
        self._boxes = iter(boxes)

    def __call__(self, _frames: Mapping[Modality, Frame], _time: float) -> list[Box]:
        return next(self._boxes)


def played(
    seed: int, moments_: int, most: int, wrong: float
) -> tuple[People, list[dict[Modality, Frame]]]:
    """People at random places, in both frames; one or the other is also mistaken."""
    chance = np.random.default_rng(seed)
    here, there = [], []
    for _ in range(moments_):
        rgb, tir = [], []
        for _ in range(chance.integers(1, most + 1)):
            height, foot = chance.uniform(60, 120), chance.uniform(190, 300)
            x = chance.uniform(40, 440)
            ends = np.array([(x, foot), (x, foot - height)])
            rgb.append(around(ends))
            landed = project(TRUTH["tir"], ends) + chance.normal(0, 0.5, (2, 2))
            if chance.random() < wrong:  # a dog, a door
                landed += chance.uniform(-60, 60, 2)
            tir.append(around(landed))
        order = chance.permutation(len(tir))
        here.append(rgb)
        there.append([tir[i] for i in order])
    finders = {"rgb": Played(here), "tir": Played(there)}
    blank = {m: np.zeros((SIZES[m][1], SIZES[m][0]), np.uint8) for m in ("rgb", "tir")}
    frames = [{m: Frame(m, 0.0, image, 0) for m, image in blank.items()} for _ in range(moments_)]
    return People(finders), frames  # type: ignore[arg-type]


def around(ends: NDArray[np.float64]) -> Box:
    (x, foot), (top_x, top) = ends
    middle = (x + top_x) / 2
    return Box(middle - 8, top, middle + 8, foot)


@pytest.mark.parametrize("seed", range(3))
def test_who_is_who_is_found_out(seed: int) -> None:
    """Several at once, in any order, and a fifth of them are somebody else."""
    people, frames = played(seed, 80, 3, 0.2)
    for number, moment in enumerate(frames):
        people.look(moment, float(number))
    pairs = np.array(people.pairs("tir", 6.0))
    landed = project(TRUTH["tir"], pairs[:, 0])
    # Upright boxes say of a slanted person little more than this.
    assert np.median(np.hypot(*(landed - pairs[:, 1]).T)) < 3
    assert len(pairs) > 100


def test_nobody_in_both_frames_is_said() -> None:
    people, frames = played(0, 5, 1, 0.0)
    for number, moment in enumerate(frames):
        people.look({"rgb": moment["rgb"]}, float(number))
    with pytest.raises(NodeError, match="nobody was seen by both cameras"):
        people.pairs("tir", 6.0)


def test_one_who_is_cut_by_the_border_does_not_count() -> None:
    inside, cut = Box(100, 50, 130, 150), Box(0, 50, 30, 150)
    people = People({"rgb": Played([[inside, cut]]), "tir": Played([[inside]])})  # type: ignore[dict-item]
    frames: dict[Modality, Frame] = {
        m: Frame(m, 0.0, np.zeros((200, 300), np.uint8), 0) for m in ("rgb", "tir")
    }
    people.look(frames, 0.0)
    assert people.moments == [{"rgb": [inside], "tir": [inside]}]
