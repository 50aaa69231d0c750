"""Something that stands before the person and hides a part of them from every sensor alike."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from denet.data.synthetic.painter import Painter
from denet.data.synthetic.person import Look, Material
from denet.data.synthetic.pose import Point

Kind = Literal["pole", "box", "foliage", "passer-by"]

_LOOKS: dict[Kind, Look] = {
    "pole": Look((0.40, 0.42, 0.45), 0.40, 0.15),
    "box": Look((0.35, 0.33, 0.30), 0.45, 0.22),
    "foliage": Look((0.22, 0.31, 0.15), 0.70, 0.17),
    "passer-by": Look((0.20, 0.20, 0.23), 0.45, 0.55),
}


@dataclass(frozen=True)
class Occluder:
    """One such thing: `x` is its middle in -0.5..0.5 of the picture's width, its size is near 1."""

    kind: Kind
    x: float
    size: float
    look: Look


def draw_occluder(random: np.random.Generator) -> Occluder:
    """An occluder drawn from `random`."""
    kind = get_args(Kind)[int(random.integers(len(_LOOKS)))]
    look = _LOOKS[kind]
    shade = float(np.exp(random.normal(0, 0.3)))
    r, g, b = (c * shade for c in look.colour)
    reflectance = float(np.clip(look.reflectance + random.normal(0, 0.12), 0.1, 0.9))
    return Occluder(
        kind=kind,
        x=float(random.uniform(-0.4, 0.4)),
        size=float(random.uniform(0.7, 1.3)),
        look=Look((r, g, b), reflectance, look.heat + float(random.normal(0, 0.05))),
    )


def paint_occluder(painter: Painter, occluder: Occluder) -> None:
    """Paint `occluder` over what is in `painter`."""
    height, width = painter.material.shape
    x, size = width * (0.5 + occluder.x), height * occluder.size

    def upright(x: float, top: float, foot: float, half: float) -> None:
        ends = _point(x, height * top), _point(x, height * foot)
        painter.put(painter.shape(*ends, [(0, half), (1, half)]), Material.OCCLUDER)

    if occluder.kind == "pole":
        upright(x, -0.1, 1.1, 0.022 * size)
    elif occluder.kind == "box":
        upright(x, 0.74, 1.1, 0.13 * size)
    elif occluder.kind == "foliage":
        for leaf in range(60):
            # Leaves in a spiral, from the outside in, fill a round bush evenly.
            away, angle = 0.13 * size * math.sqrt(1 - leaf / 60), 2.4 * leaf
            middle = _point(x + away * math.cos(angle), 0.9 * height + 1.2 * away * math.sin(angle))
            patch = painter.ball(middle, 0.033 * size, 0.027 * size)
            painter.put(patch, Material.OCCLUDER, light=0.75 + 0.5 * (leaf * 0.618 % 1))
    else:
        x = width * (0.02 if occluder.x < 0 else 0.98)
        body = _point(x, 0.34 * height), _point(x, 1.1 * height)
        painter.put(painter.limb(*body, 0.10 * size, 0.085 * size), Material.OCCLUDER)
        head = painter.ball(_point(x, 0.19 * height), 0.05 * size, 0.065 * size)
        painter.put(head, Material.OCCLUDER)


def _point(x: float, y: float) -> Point:
    return np.array([x, y, 1.0])
