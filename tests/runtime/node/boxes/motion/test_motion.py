"""What moves before drawn cameras, and what is no motion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from denet.graph import Modality
from runtime.node import NodeError
from runtime.node.boxes.box import Box
from runtime.node.boxes.homography import View
from runtime.node.boxes.motion.finder import MotionFinder
from runtime.node.boxes.motion.settings import MotionSettings
from runtime.node.boxes.overlap import overlaps
from runtime.node.sources import Frame

HEIGHT, WIDTH, RATE = 240, 320, 10
TALL, BROAD = 90, 30
CHANCE = np.random.default_rng(0)
SCENE = np.kron(CHANCE.integers(60, 160, (12, 16)), np.ones((20, 20), int)).astype(float)


def shot(*corners: tuple[int, int], level: float = 230.0, light: float = 1.0) -> np.ndarray:
    """The scene with the noise of a sensor, and people whose upper left corners are given."""
    picture = light * SCENE + CHANCE.normal(0, 3, SCENE.shape)
    for left, top in corners:
        picture[top : top + TALL, max(left, 0) : left + BROAD] = level
    return np.clip(picture, 0, 255).astype(np.uint8)


class Camera:
    """Shows pictures to a finder at `RATE`."""

    def __init__(self, modality: Modality = "rgb", **more: Any) -> None:
        self.modality, self.time = modality, 100.0
        self.finder = MotionFinder(MotionSettings(**more), (modality,), None, {})

    def __call__(self, picture: np.ndarray) -> Sequence[Box]:
        self.time += 1 / RATE
        frame = Frame(self.modality, self.time, picture, 0)
        return self.finder({self.modality: frame}, self.time)

    def learned(self) -> Camera:
        for _ in range(40):
            self(shot())
        return self


def share(box: Box, corner: tuple[int, int]) -> float:
    left, top = corner
    true = np.array([left, top, left + BROAD, top + TALL], float)
    found = np.array([[box.left, box.top, box.right, box.bottom]])
    return float(overlaps(true, found)[0])


@pytest.mark.parametrize("modality", ["rgb", "tir"])
def test_people_who_walk_are_found(modality: Modality) -> None:
    camera = Camera(modality).learned()
    for step in range(30):
        corners = (10 + 6 * step, 60), (250 - 5 * step, 100)
        boxes = camera(shot(*corners))
        if abs(corners[0][0] - corners[1][0]) < BROAD + 12:
            continue  # they meet, and are one region
        assert len(boxes) == 2
        for corner in corners:
            assert max(share(box, corner) for box in boxes) > 0.7


def test_noise_and_a_place_that_flickers_are_no_motion() -> None:
    camera = Camera()
    for i in range(60):
        picture = shot()
        picture[100:160, 200:260] = 255 if i % 2 else 90
        assert not camera(picture)


def test_warm_is_what_counts_in_a_thermal_frame() -> None:
    thermal, visible = Camera("tir").learned(), Camera("rgb").learned()
    cold = shot((100, 60), level=10.0)
    assert not thermal(cold)
    assert len(visible(cold)) == 1
    assert len(Camera("tir", warm=()).learned()(cold)) == 1


def test_another_light_is_learned_and_nobody_is_found_meanwhile() -> None:
    camera = Camera().learned()
    for _ in range(40):
        assert not camera(shot(light=1.5))
    assert len(camera(shot((100, 60), level=20.0, light=1.5))) == 1


def test_who_stands_still_becomes_the_background() -> None:
    camera = Camera(memory=4.0).learned()
    seen = [len(camera(shot((100, 60)))) for _ in range(30 * RATE)]
    assert seen[: 2 * RATE] == [1] * 2 * RATE
    assert seen[-RATE:] == [0] * RATE


def test_what_is_small_is_left_out() -> None:
    picture = shot()
    picture[100:112, 100:106] = 250
    assert not Camera().learned()(picture)
    assert len(Camera(smallest=(2, 4)).learned()(picture)) == 1


def test_nobody_is_found_while_the_background_is_learned() -> None:
    camera = Camera()
    assert [len(camera(shot((100, 60)))) for _ in range(2 * RATE)] == [0] * 2 * RATE


def test_a_camera_of_another_size_begins_anew() -> None:
    camera = Camera().learned()
    assert not camera(shot((100, 60))[:200])


def test_what_moves_in_the_thermal_frame_is_told_in_the_rgb_one() -> None:
    half = ((0.5, 0, 0), (0, 0.5, 0), (0, 0, 1.0))
    views = {"rgb": View(size=(640, 480)), "tir": View(size=(320, 240), homography=half)}
    finder = MotionFinder(MotionSettings(), ("rgb", "tir"), views, {"tir": (7000, 9000)})

    def seen(time: float, *corners: tuple[int, int]) -> Sequence[Box]:
        thermal = np.interp(shot(*corners), (0, 255), (7000, 9000)).astype(np.uint16)
        large = np.kron(shot(), np.ones((2, 2), np.uint8))  # dark: nobody can be seen in it
        frames = {
            "rgb": Frame("rgb", time, large, 0),
            "tir": Frame("tir", time, thermal, 0),
        }
        return finder(frames, time)

    for i in range(40):
        assert not seen(i / RATE)
    (box,) = seen(4.0, (100, 60))
    assert abs(box.left - 200) <= 4
    assert abs(box.top - 120) <= 4
    assert abs(box.right - 260) <= 4
    assert abs(box.bottom - 300) <= 4


def test_modalities_that_are_not_there() -> None:
    with pytest.raises(NodeError, match=r"boxes\.motion\.modalities: nir"):
        MotionFinder(MotionSettings(modalities=("nir",)), ("rgb",), None, {})
    finder = MotionFinder(MotionSettings(modalities=("tir",)), ("rgb", "tir"), None, {})
    with pytest.raises(NodeError, match="searches tir, and none"):
        finder({"rgb": Frame("rgb", 0.0, shot(), 0)}, 0.0)
