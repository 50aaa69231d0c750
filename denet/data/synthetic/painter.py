"""Parts of a picture, painted back to front into a map of materials, normals and patterns.

What is painted is geometry alone. Each modality looks the materials up in a column of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from denet.data.synthetic.person import Material
from denet.data.synthetic.pose import Point

Floats = NDArray[np.float32]


@dataclass
class Patch:
    """The pixels that one part covers.

    Attributes:
        window: the rows and columns of the box around it.
        inside: which pixels of the box it covers.
        along: for each covered pixel, 0 at the part's beginning, 1 at its end.
        across: -1 at its left edge, 1 at its right edge.
        down: its normal's component downwards, -1..1.
    """

    window: tuple[slice, slice]
    inside: NDArray[np.bool_]
    along: Floats
    across: Floats
    down: Floats | float = 0.0


class Painter:
    """A picture in the making, (height, width) pixels; later parts cover earlier ones.

    Attributes:
        material: uint8, a `Material` for each pixel.
        side: the surface normal's component to the right, -1..1.
        down: its component downwards.
        pattern: how much of the pattern's colour is mixed into the material, 0..1.
        distal: how far from the body's core, 0..1: the blood is cooler there.
        open: how much of the surrounding light arrives, 0..1.
    """

    def __init__(self, height: int, width: int) -> None:
        self.material = np.zeros((height, width), np.uint8)
        self.side, self.down, self.pattern, self.distal, self.open = np.zeros(
            (5, height, width), np.float32
        )
        self._y: Floats = np.arange(height, dtype=np.float32)[:, None]
        self._x: Floats = np.arange(width, dtype=np.float32)[None, :]

    def put(
        self,
        patch: Patch,
        material: int | NDArray[np.uint8],
        *,
        pattern: Floats | float = 0.0,
        distal: Floats | float = 0.0,
        light: float = 1.0,
    ) -> None:
        """Paint a part; what is given as an array has a value for each covered pixel."""
        window, inside = patch.window, patch.inside
        self.material[window][inside] = material
        self.side[window][inside] = patch.across
        self.down[window][inside] = patch.down
        self.pattern[window][inside] = pattern
        self.distal[window][inside] = distal
        self.open[window][inside] = light

    def limb(self, start: Point, end: Point, first: float, last: float) -> Patch:
        """A tapered tube with round ends; its radii in pixels at `start` and `end`."""
        window, along, across, length = self._frame(start, end, max(first, last))
        on_axis = np.clip(along, 0, length)
        share = on_axis / length
        radius = first + (last - first) * share
        inside = across**2 + (along - on_axis) ** 2 < radius**2
        return Patch(window, inside, share[inside], across[inside] / radius[inside])

    def shape(self, start: Point, end: Point, widths: list[tuple[float, float]]) -> Patch:
        """A flat-ended part whose half width in pixels is interpolated between (along, width)."""
        knots, values = zip(*widths, strict=True)
        window, along, across, length = self._frame(start, end, max(values))
        share = along / length
        radius: Floats = np.interp(share, knots, values).astype(np.float32)
        inside = (share > 0) & (share < 1) & (np.abs(across) < radius)
        return Patch(window, inside, share[inside], across[inside] / radius[inside])

    def ball(self, centre: Point, across: float, down: float) -> Patch:
        """An ellipse with half axes in pixels; `along` is 0 at its top and 1 at its foot."""
        x, y = float(centre[0]), float(centre[1])
        window = self._window(x - across, y - down, x + across, y + down)
        u: Floats = (self._x[:, window[1]] - x) / np.float32(across)
        v: Floats = (self._y[window[0]] - y) / np.float32(down)
        inside = u**2 + v**2 < 1
        u = np.broadcast_to(u, inside.shape)[inside]
        v = np.broadcast_to(v, inside.shape)[inside]
        return Patch(window, inside, np.float32(0.5) * (v + 1), u, v)

    def _window(self, left: float, top: float, right: float, foot: float) -> tuple[slice, slice]:
        height, width = self.material.shape
        rows = slice(max(int(top), 0), min(max(int(foot) + 2, 0), height))
        return rows, slice(max(int(left), 0), min(max(int(right) + 2, 0), width))

    def _frame(
        self, start: Point, end: Point, reach: float
    ) -> tuple[tuple[slice, slice], Floats, Floats, float]:
        """Pixels along the axis from `start`, and to the right of it, in the box around a part."""
        (x0, y0), (x1, y1) = start[:2].tolist(), end[:2].tolist()
        # A part that points at the camera has no direction in the picture: take downwards.
        length = math.hypot(x1 - x0, y1 - y0)
        ax, ay = ((x1 - x0) / length, (y1 - y0) / length) if length > 0.01 else (0.0, 1.0)
        length = max(length, 0.01)
        window = self._window(
            min(x0, x1) - reach, min(y0, y1) - reach, max(x0, x1) + reach, max(y0, y1) + reach
        )
        x, y = self._x[:, window[1]] - x0, self._y[window[0]] - y0
        right = 1.0 if ay >= 0 else -1.0
        return window, x * ax + y * ay, (x * ay - y * ax) * right, length


def cover(base: Material, *layers: tuple[NDArray[np.bool_], Material]) -> NDArray[np.uint8]:
    """Materials of a part: `base`, and where a layer's condition holds, that of the layer."""
    material = np.full(layers[0][0].shape, base, np.uint8)
    for condition, value in layers:
        material[condition] = value
    return material


def azimuth(patch: Patch, yaw: float) -> Floats:
    """Where on an upright part each pixel lies: 0 on the person's front, +-pi on the back.

    Args:
        patch: of the part.
        yaw: radians by which the person is turned to the picture's right; 0 faces the camera.
    """
    angle: Floats = np.arcsin(np.clip(patch.across, -1, 1)) - np.float32(yaw)
    return (angle + np.float32(math.pi)) % np.float32(2 * math.pi) - np.float32(math.pi)
