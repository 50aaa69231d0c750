"""A camera's surroundings: one street, painted alike for three sensors.

Things keep their place in every modality and their own value in each: foliage is dark in visible
light and bright in near infrared, the sky is bright and then the coldest thing there is, glass is
dark and cold, a lamp is hot.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from denet.data.synthetic.painter import Floats
from denet.data.synthetic.person import Look

_LOOKS: dict[str, Look] = {
    "asphalt": Look((0.36, 0.36, 0.38), 0.30, 0.33),
    "paving": Look((0.60, 0.58, 0.54), 0.48, 0.30),
    "grass": Look((0.31, 0.42, 0.21), 0.70, 0.20),
    "brick": Look((0.48, 0.29, 0.23), 0.45, 0.28),
    "concrete": Look((0.60, 0.60, 0.58), 0.50, 0.26),
    "plaster": Look((0.78, 0.74, 0.66), 0.66, 0.27),
    "glass": Look((0.20, 0.24, 0.28), 0.16, 0.17),
    "metal": Look((0.42, 0.44, 0.47), 0.40, 0.16),
    "wood": Look((0.40, 0.29, 0.20), 0.52, 0.25),
    "foliage": Look((0.19, 0.30, 0.14), 0.74, 0.18),
    "sky": Look((0.76, 0.83, 0.90), 0.42, 0.02),
    "paint": Look((0.82, 0.80, 0.74), 0.70, 0.31),
    "lamp": Look((0.95, 0.92, 0.80), 0.85, 1.0),
    "warm": Look((0.30, 0.29, 0.29), 0.38, 0.62),
}


@dataclass(frozen=True)
class Scene:
    """What is behind the person, wider than a picture: float32 in 0..1.

    Attributes:
        colour: (height, width, 3).
        reflectance: (height, width).
        heat: (height, width).
    """

    colour: Floats
    reflectance: Floats
    heat: Floats


class _Canvas:
    """The same drawing on three sheets, with another value on each."""

    def __init__(self, random: np.random.Generator, width: int, height: int) -> None:
        self.random = random
        self.sheets = [Image.new(mode, (width, height)) for mode in ("RGB", "L", "L")]
        self.pens = [ImageDraw.Draw(sheet) for sheet in self.sheets]

    def inks(self, name: str, spread: float) -> list[tuple[int, ...]]:
        """What to draw `name` with on each sheet: its look, give or take `spread`."""
        look, random = _LOOKS[name], self.random
        shade = 1 + random.normal(0, 2 * spread)
        colour = [c * shade + random.normal(0, spread / 3) for c in look.colour]
        reflectance = look.reflectance + random.normal(0, spread)
        heat = look.heat + random.normal(0, spread / 2)
        return [
            tuple(int(np.clip(255 * value, 0, 255)) for value in values)
            for values in (colour, [reflectance], [heat])
        ]

    def box(self, name: str, left: float, top: float, right: float, foot: float) -> None:
        for pen, ink in zip(self.pens, self.inks(name, 0.06), strict=True):
            pen.rectangle([left, top, max(right, left), max(foot, top)], fill=ink)

    def disc(
        self, name: str, x: float, y: float, across: float, down: float, spread: float = 0.06
    ) -> None:
        for pen, ink in zip(self.pens, self.inks(name, spread), strict=True):
            pen.ellipse([x - across, y - down, x + across, y + down], fill=ink)


def draw_scene(random: np.random.Generator, height: int, width: int) -> Scene:
    """A street drawn from `random`, (height, width) pixels; the ground begins at mid-height."""
    canvas = _Canvas(random, width, height)
    h = float(height)
    base = h * random.uniform(0.40, 0.62)
    wall = str(random.choice(["brick", "concrete", "plaster", "foliage", "sky"]))
    canvas.box(wall if wall != "foliage" else "grass", 0, 0, width, base)
    _wall(canvas, wall, base, h, width)
    ground = str(random.choice(["asphalt", "paving", "grass", "asphalt"]))
    canvas.box(ground, 0, base, width, h)
    if random.random() < 0.6:
        kerb = base + h * random.uniform(0.03, 0.15)
        canvas.box("paving" if ground != "paving" else "concrete", 0, base, width, kerb)
        canvas.box("concrete", 0, kerb, width, kerb + 0.012 * h)
    if ground == "paving":
        row, step = base, 0.03 * h
        while row < h:
            canvas.box("concrete", 0, row, width, row + 0.004 * h)
            row, step = row + step, step * 1.35
    elif ground == "asphalt" and random.random() < 0.6:
        row = h * random.uniform(0.72, 0.9)
        canvas.box("paint", 0, row, width, row + 0.02 * h)
    for _ in range(int(random.integers(3, 7))):
        _thing(canvas, float(random.uniform(0, width)), base, h)
    return _finish(random, canvas, base / h)


def _wall(canvas: _Canvas, wall: str, base: float, h: float, width: int) -> None:
    random = canvas.random
    if wall in ("foliage", "sky"):
        low, high = (0.0, 1.0) if wall == "foliage" else (0.55, 1.0)
        for _ in range(int(width / h * 300)):
            size = h * random.uniform(0.012, 0.04)
            y = base * random.uniform(low, high)
            canvas.disc("foliage", random.uniform(0, width), y, size, size, 0.1)
        return
    x = h * random.uniform(0, 0.2)
    while x < width:
        wide = h * random.uniform(0.12, 0.3)
        if random.random() < 0.6:
            top = base * random.uniform(0.05, 0.3)
            foot = base * random.choice([0.6, 0.75, 1.0])
            canvas.box("concrete", x - 0.012 * h, top - 0.012 * h, x + wide + 0.012 * h, foot)
            canvas.box(
                str(random.choice(["glass", "glass", "wood", "metal"])), x, top, x + wide, foot
            )
        x += wide + h * random.uniform(0.08, 0.35)


def _thing(canvas: _Canvas, x: float, base: float, h: float) -> None:
    """Street furniture at `x`, its foot a little below the wall's."""
    random = canvas.random
    foot = base + h * random.uniform(0.0, 0.15)
    kind = int(random.integers(5))
    if kind == 0:
        thick = h * random.uniform(0.012, 0.03)
        canvas.box("metal", x, 0, x + thick, foot)
        if random.random() < 0.5:
            canvas.disc("lamp", x, h * 0.06, h * 0.03, h * 0.02)
    elif kind == 1:
        thick = h * random.uniform(0.03, 0.07)
        canvas.box("wood", x, 0, x + thick, foot)
        for _ in range(90):
            size = h * random.uniform(0.012, 0.04)
            at = x + h * random.normal(0, 0.12), h * abs(random.normal(0.05, 0.1))
            canvas.disc("foliage", *at, size, size * 0.7, 0.1)
    elif kind == 2:
        long, tall = h * random.uniform(0.5, 0.8), h * random.uniform(0.14, 0.2)
        name = str(random.choice(["metal", "paint", "glass"]))
        canvas.box(name, x, foot - tall, x + long, foot - 0.03 * h)
        canvas.box("glass", x + 0.2 * long, foot - 1.5 * tall, x + 0.8 * long, foot - tall)
        canvas.box("warm", x + 0.02 * long, foot - 0.8 * tall, x + 0.18 * long, foot - 0.4 * tall)
        for share in (0.2, 0.8):
            canvas.disc("warm", x + share * long, foot - 0.02 * h, 0.04 * h, 0.04 * h)
    elif kind == 3:
        for _ in range(70):
            size = h * random.uniform(0.012, 0.035)
            at = x + h * random.normal(0, 0.12), foot - h * abs(random.normal(0, 0.06))
            canvas.disc("foliage", *at, size, size, 0.1)
    else:
        canvas.box("warm", x, foot - h * 0.2, x + h * 0.08, foot)


def _finish(random: np.random.Generator, canvas: _Canvas, base: float) -> Scene:
    width, height = canvas.sheets[0].size
    soft = [sheet.filter(ImageFilter.GaussianBlur(height / 200)) for sheet in canvas.sheets]
    colour, reflectance, heat = (np.asarray(s, np.float32) / 255 for s in soft)
    grain = smooth_noise(random, height, width, 6) + smooth_noise(random, height, width, 24)
    # The nearer the ground, the more light falls on it and the more sun it has stored.
    row = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    near = np.clip((row - base) / (1 - base), 0, 1)
    light = 1 + 0.05 * grain + 0.12 * near
    return Scene(
        np.clip(colour * light[..., None], 0, 1),
        np.clip(reflectance * light, 0, 1),
        np.clip(heat + 0.012 * smooth_noise(random, height, width, 12) + 0.03 * near, 0, 1.2),
    )


def smooth_noise(random: np.random.Generator, height: int, width: int, cells: int) -> Floats:
    """Noise of about unit variance whose blotches are 1 / `cells` of the height across."""
    small = random.standard_normal((cells, max(round(cells * width / height), 2)))
    sheet = Image.fromarray(small.astype(np.float32))
    return np.asarray(sheet.resize((width, height), Image.Resampling.BICUBIC), np.float32)
