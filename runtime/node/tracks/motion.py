"""Where a box will be: a Kalman filter that reckons in seconds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runtime.node.boxes.box import Box

Floats = NDArray[np.float64]

MEASURED = 0.05
"""Standard deviation of each number of a box, in its heights, as in SORT and DeepSORT."""

SPEED = 0.8
"""Standard deviation of a speed that is not known yet, in heights a second: 1.4 m/s of a person of
1.7 m."""

CHANGE = np.array([0.6, 0.6, 0.1, 0.1])
"""How much a speed wanders: its variance grows by so many squared heights a second each second.
Who walks can stand within a second; sizes change less."""


class Motion:
    """The centre and size of a box, and their speeds.

    Each of the four numbers moves on its own at a constant speed that is disturbed by white noise
    (Bar-Shalom, Li and Kirubarajan, "Estimation with Applications to Tracking and Navigation",
    2001, 6.2.2). So a filter of eight states falls into four of two, and time may pass unevenly:
    moments that were dropped, cameras of any rate.

    Attributes:
        mean: (4, 2) float64: centre x and y, width and height in pixels, each with its speed.
        covariance: (4, 2, 2).

    Args:
        box: where it was seen first.
    """

    def __init__(self, box: Box) -> None:
        seen = measured(box)
        height = seen[3]
        self.mean: Floats = np.column_stack((seen, np.zeros(4)))
        self.covariance: Floats = np.zeros((4, 2, 2))
        self.covariance[:, 0, 0] = (MEASURED * height) ** 2
        self.covariance[:, 1, 1] = (SPEED * height) ** 2

    def predict(self, seconds: float, *, seen: bool = True) -> None:
        """Let time pass.

        Args:
            seconds: how much.
            seen: whether it had a box the last time; without, it keeps its size.
        """
        if not seen:
            self.mean[2:, 1] = 0.0
        move = np.array([[1.0, seconds], [0.0, 1.0]])
        noise = np.array([[seconds**3 / 3, seconds**2 / 2], [seconds**2 / 2, seconds]])
        self.mean = self.mean @ move.T
        height = max(self.mean[3, 0], 1.0)
        spread = CHANGE[:, None, None] * height**2 * noise
        self.covariance = move @ self.covariance @ move.T + spread

    def update(self, box: Box) -> None:
        """Take a box in."""
        seen = measured(box)
        error = (MEASURED * max(seen[3], 1.0)) ** 2
        gain = self.covariance[:, :, 0] / (self.covariance[:, 0, 0] + error)[:, None]
        self.mean = self.mean + gain * (seen - self.mean[:, 0])[:, None]
        self.covariance = self.covariance - gain[:, :, None] * self.covariance[:, None, 0, :]

    @property
    def corners(self) -> Floats:
        """(4,) left, top, right and bottom; never empty."""
        (x, y), (width, height) = self.mean[:2, 0], np.maximum(self.mean[2:, 0], 1.0)
        return np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])


def measured(box: Box) -> Floats:
    """(4,) centre, width and height of a box."""
    return np.array(
        [
            (box.left + box.right) / 2,
            (box.top + box.bottom) / 2,
            box.right - box.left,
            box.bottom - box.top,
        ]
    )
