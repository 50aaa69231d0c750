"""The way back through a homography, and persons whom several sensors see."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from denet.graph import Modality
from runtime.node.boxes.box import Box
from runtime.node.boxes.detection import Detection
from runtime.node.boxes.fusion import fuse
from runtime.node.boxes.homography import View, check_views

RGB = View(size=(640, 480))
TIR = View(size=(320, 256), homography=((0.5, 0.0, 4.0), (0.0, 0.5, 8.0), (0.0, 0.0, 1.0)))
BENT = View(
    size=(320, 256), homography=((-0.52, 0.01, -6.0), (0.02, -0.49, -8.0), (2e-4, 1e-4, -1.1))
)


def found(box: tuple[float, float, float, float], score: float, m: Modality) -> Detection:
    return Detection(Box(*box), score, "person", (m,))


def sides(box: Box) -> list[float]:
    return [box.left, box.top, box.right, box.bottom]


@given(
    st.tuples(st.floats(0, 300), st.floats(0, 200)),
    st.tuples(st.floats(1, 300), st.floats(1, 250)),
)
def test_the_way_back_is_the_inverse(
    corner: tuple[float, float], size: tuple[float, float]
) -> None:
    box = Box(*corner, corner[0] + size[0], corner[1] + size[1])
    back = TIR.locate(TIR.place(box))
    assert back is not None
    assert sides(back) == pytest.approx(sides(box), abs=1e-6)
    # A bent one makes upright boxes of leaning ones, twice: what comes back is around the box.
    around = BENT.locate(BENT.place(box))
    assert around is not None
    assert around.left <= box.left + 1e-6
    assert around.top <= box.top + 1e-6
    assert around.right >= box.right - 1e-6
    assert around.bottom >= box.bottom - 1e-6


def test_corners_go_back_through_the_inverse_matrix() -> None:
    check_views({"rgb": RGB, "tir": BENT})
    box = Box(20.0, 30.0, 60.0, 130.0)
    matrix = np.linalg.inv(np.array(BENT.homography))
    corners = []
    for x in (20.0, 60.0):
        for y in (30.0, 130.0):
            a, b, depth = (
                sum(r * v for r, v in zip(row, (x, y, 1.0), strict=True)) for row in matrix
            )
            corners.append((a / depth, b / depth))
    located = BENT.locate(box)
    assert located is not None
    xs, ys = zip(*corners, strict=True)
    assert sides(located) == pytest.approx([min(xs), min(ys), max(xs), max(ys)])


def test_what_the_rgb_camera_has_behind_it_is_nowhere() -> None:
    view = View(size=(320, 256), homography=((1.0, 0, 0), (0, 1.0, 0), (0.002, 0, 1.0)))
    # x / (1 + 0.002 x) never reaches 500.
    assert view.locate(Box(400.0, 10.0, 600.0, 50.0)) is None
    fused = fuse({"tir": [found((400, 10, 600, 50), 0.9, "tir")]}, {"rgb": RGB, "tir": view}, 0.5)
    assert fused == []


def test_a_person_whom_two_sensors_see_is_one_and_has_the_higher_score() -> None:
    in_rgb, in_tir = (100.0, 100.0, 160.0, 260.0), (55.0, 59.0, 85.0, 139.0)  # 2 pixels off
    fused = fuse(
        {"rgb": [found(in_rgb, 0.6, "rgb")], "tir": [found(in_tir, 0.8, "tir")]},
        {"rgb": RGB, "tir": TIR},
        0.5,
    )
    assert fused == [Detection(Box(102.0, 102.0, 162.0, 262.0), 0.8, "person", ("tir", "rgb"))]


def test_whom_one_sensor_alone_sees_is_there() -> None:
    views = {"rgb": RGB, "tir": TIR}
    fused = fuse({"rgb": [], "tir": [found((54, 58, 84, 138), 0.4, "tir")]}, views, 0.5)
    assert fused == [Detection(Box(100.0, 100.0, 160.0, 260.0), 0.4, "person", ("tir",))]
    assert fuse({"tir": []}, views, 0.5) == []


def test_two_people_whom_each_sensor_tells_apart_stay_two() -> None:
    """They overlap by 0.6, more than what makes boxes of two sensors one person."""
    boxes = (0.0, 0.0, 40.0, 100.0), (10.0, 0.0, 50.0, 100.0)
    both = {m: [found(box, s, m) for box in boxes] for m, s in (("rgb", 0.7), ("tir", 0.6))}
    fused = fuse(both, None, 0.5)
    assert [(each.box, each.modalities) for each in fused] == [
        (Box(*box), ("rgb", "tir")) for box in boxes
    ]


def test_a_person_in_a_car_is_not_the_car() -> None:
    car = Detection(Box(0, 0, 50, 50), 0.9, "car", ("rgb",))
    assert len(fuse({"rgb": [car], "tir": [found((0, 0, 50, 50), 0.5, "tir")]}, None, 0.5)) == 2
