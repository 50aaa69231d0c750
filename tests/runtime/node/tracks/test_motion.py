"""The filter, against a textbook's of eight states."""

from __future__ import annotations

import numpy as np
import pytest

from runtime.node.boxes.box import Box
from runtime.node.tracks.motion import CHANGE, MEASURED, SPEED, Motion, measured
from tests.runtime.node.tracks.parts import standing


def textbook(boxes: list[Box], times: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """x = F x, P = F P F' + Q; K = P H' (H P H' + R)^-1, x += K (z - H x), P = (I - K H) P, of all
    eight states at once: four positions, then their four speeds."""
    z = measured(boxes[0])
    x = np.concatenate((z, np.zeros(4)))
    p = np.diag([(MEASURED * z[3]) ** 2] * 4 + [(SPEED * z[3]) ** 2] * 4)
    h = np.eye(4, 8)
    for box, dt in zip(boxes[1:], np.diff(times), strict=True):
        f = np.eye(8) + dt * np.eye(8, k=4)
        x = f @ x
        corner = np.diag(CHANGE) * x[3] ** 2
        q = np.block([[corner * dt**3 / 3, corner * dt**2 / 2], [corner * dt**2 / 2, corner * dt]])
        p = f @ p @ f.T + q
        z = measured(box)
        r = np.eye(4) * (MEASURED * z[3]) ** 2
        k = p @ h.T @ np.linalg.inv(h @ p @ h.T + r)
        x, p = x + k @ (z - h @ x), (np.eye(8) - k @ h) @ p
    return x, p


def test_it_is_the_filter_of_eight_states() -> None:
    chance = np.random.default_rng(0)
    times = np.cumsum(chance.uniform(0.01, 0.3, 30)).tolist()
    boxes = [standing(40 * t + chance.normal(0, 2), 100 + 5 * t, 100 + 3 * t) for t in times]
    motion = Motion(boxes[0])
    for box, dt in zip(boxes[1:], np.diff(times), strict=True):
        motion.predict(float(dt))
        motion.update(box)
    x, p = textbook(boxes, times)
    np.testing.assert_allclose(motion.mean, np.column_stack((x[:4], x[4:])), rtol=1e-9)
    for i in range(4):
        block = p[np.ix_([i, i + 4], [i, i + 4])]
        np.testing.assert_allclose(motion.covariance[i], block, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("rate", [4.0, 10.0, 25.0])
def test_it_learns_a_speed_at_any_rate(rate: float) -> None:
    motion = Motion(standing(0.0))
    for i in range(1, int(3 * rate)):
        motion.predict(1 / rate)
        motion.update(standing(80.0 * i / rate))
    assert motion.mean[0, 1] == pytest.approx(80.0, rel=0.05)
    left, _, right, _ = motion.corners
    motion.predict(0.5, seen=False)
    assert motion.corners[[0, 2]] == pytest.approx([left + 40, right + 40], abs=4)
