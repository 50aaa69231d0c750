"""The error of parallax, against two cameras that are written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.node.align.direct import direct
from runtime.node.align.parallax import focal_pixels, parallax, parallax_line, parse_rig
from runtime.node.boxes.homography import project
from runtime.node.errors import NodeError


@given(
    baseline=st.floats(0.01, 1.0),
    measured=st.floats(2, 50),
    distance=st.floats(1, 100),
    angle=st.floats(10, 100),
    height=st.floats(-1, 1),
    side=st.floats(-1, 1),
)
def test_it_is_what_two_pinhole_cameras_see(
    baseline: float, measured: float, distance: float, angle: float, height: float, side: float
) -> None:
    """The homography of the plane at the distance of the points, fitted to four of them; then
    somebody at another distance is seen by both."""
    focal, other = 1000.0, focal_pixels(640, angle)
    corners = measured * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1.0)])
    here = focal * corners / measured
    there = other * (corners - (baseline, 0)) / measured
    matrix = direct(here, there)
    place = np.array([side, height]) * distance
    seen = focal * place / distance
    true = other * (place - (baseline, 0)) / distance
    off = float(np.hypot(*(project(matrix, seen[None])[0] - true)))
    assert off == pytest.approx(parallax(other, baseline, measured, distance), abs=1e-6)


def test_a_person_is_told_at_several_distances() -> None:
    told = parallax_line(640, 0.1, 90.0, 8.0)
    assert focal_pixels(640, 90.0) == pytest.approx(320)
    assert "4.0 at 4 m" in told  # 320 x 0.1 x (1/4 - 1/8)
    assert "0.0 at 8 m" in told
    assert "4.0 at any far distance" in told


@pytest.mark.parametrize(
    "text", ["tir", "tir=1", "tir=a,b", "tir=0.1,0", "tir=0.1,200", "=1,2", "tir=1..2,3"]
)
def test_what_is_no_rig_is_refused(text: str) -> None:
    with pytest.raises(NodeError, match="--rig"):
        parse_rig(text)
