"""Renders a triplet: one picture of materials, and three sensors that look them up."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from denet.data.synthetic.body import paint_person
from denet.data.synthetic.occluder import paint_occluder
from denet.data.synthetic.painter import Floats, Painter
from denet.data.synthetic.person import Look, Material, Person
from denet.data.synthetic.pose import project, skeleton
from denet.data.synthetic.scene import smooth_noise
from denet.data.synthetic.shot import SENSORS, Camera, Shot
from denet.graph import Modality

_FINER = 2
"""Pictures are painted at twice their size and averaged, so that edges are smooth."""

_SCENE_WIDTH = 4
"""A scene is this many pictures wide; each shot stands before another part of it."""

_MARGIN = 1 / 32
"""Painted around the picture, of its height: what a sensor sees that is a little off."""

_CLOTH = [int(m) for m in (Material.TOP, Material.BOTTOM, Material.INNER)]


def scene_size(height: int, width: int) -> tuple[int, int]:
    """Height and width in pixels of the scene behind images of (height, width)."""
    tall, wide = _canvas_size(height, width)
    return round(tall * 1.1), wide * _SCENE_WIDTH


def render(
    person: Person, camera: Camera, shot: Shot, height: int, width: int
) -> dict[Modality, Image.Image]:
    """The three images of one shot.

    Args:
        person: who is seen.
        camera: by which camera; its scene has `scene_size(height, width)`.
        shot: when and how.
        height: of the images, in pixels.
        width: of the images, in pixels.

    Returns:
        An image of mode "RGB" for rgb, of mode "L" for nir and tir.
    """
    picture = _Picture(person, camera, shot, height, width)
    sensed: dict[Modality, Floats] = {
        "rgb": picture.rgb(),
        "nir": picture.nir(),
        "tir": picture.tir(),
    }
    return {m: Image.fromarray(_quantize(image)) for m, image in sensed.items()}


def cover(
    person: Person, camera: Camera, shot: Shot, height: int, width: int
) -> dict[Modality, Floats]:
    """The share of each pixel of `render` that the person hides: (height, width), of 0 to 1."""
    picture = _Picture(person, camera, shot, height, width)
    return {m: picture.cover(m) for m in SENSORS}


class _Picture:
    """What is before the sensors: the scene, and as a list of points whatever hides it.

    A method for each modality reads its own column of the looks, and no other.
    """

    def __init__(self, person: Person, camera: Camera, shot: Shot, height: int, width: int) -> None:
        self.camera, self.shot = camera, shot
        self.height, self.width = height, width
        tall, wide = _canvas_size(height, width)
        painter = Painter(tall, wide)
        joints = skeleton(person.physique, shot.pose, person.outfit)
        origin = wide / 2, float(_FINER * _margin(height))
        at, scale = project(joints, shot.pose, shot.view, origin, _FINER * height)
        paint_person(painter, person, shot.pose, at, scale)
        self.looks: dict[Material, Look] = dict(person.looks)
        if shot.occluder is not None:
            paint_occluder(painter, shot.occluder)
            self.looks[Material.OCCLUDER] = shot.occluder.look

        self.points = np.flatnonzero(painter.material)
        fields = painter.material, painter.side, painter.down, painter.distal, painter.open
        self.material, self.side, self.down, self.distal, self.open = (
            field.ravel()[self.points] for field in fields
        )
        self.front = np.sqrt(np.maximum(1 - self.side**2 - self.down**2, 0))
        pattern = painter.pattern.ravel()[self.points]
        self.patterned = np.flatnonzero(pattern * (self.material == Material.TOP))
        self.pattern = pattern[self.patterned, None]
        creases = _creases(tall, wide).ravel()[self.points]
        self.creases = creases * np.isin(self.material, _CLOTH)

        free_y, free_x = camera.scene.heat.shape[0] - tall, camera.scene.heat.shape[1] - wide
        left, top = round(shot.backdrop[0] * free_x), round(shot.backdrop[1] * free_y)
        self.backdrop = slice(top, top + tall), slice(left, left + wide)
        x, y = ((at["left_ankle"] + at["right_ankle"])[:2] / 2).tolist()
        across = (np.arange(wide, dtype=np.float32) - x) / (0.3 * scale)
        along = (np.arange(tall, dtype=np.float32)[:, None] - y) / (0.09 * scale)
        self.shadow: Floats = 1 - np.float32(0.45) * np.exp(-(across**2) - along**2)

    def rgb(self) -> Floats:
        """The image in visible light, (height, width, 3)."""
        camera, shot = self.camera, self.shot
        colour = self._albedo([look.colour for look in self.looks.values()])
        colour *= self._light(shot.sun, 0.6)[:, None]
        scene = camera.scene.colour[self.backdrop] * self.shadow[..., None]
        image = self._sensed("rgb", scene, colour)
        light, grain, blur = np.multiply(camera.cast, camera.gain * shot.gain), 0.012, 0.003
        if shot.night:
            light, grain, blur = light * (0.46, 0.38, 0.26), 0.03, 0.006
        across = np.linspace(-0.5, 0.5, self.width)[:, None]
        image *= (light * (1 + camera.shade * across)).astype(np.float32)
        return self._finished("rgb", image ** np.float32(camera.gamma), blur, grain)

    def nir(self) -> Floats:
        """The image in near infrared, (height, width); the camera brings its own lamp."""
        shot = self.shot
        value = self._albedo([[look.reflectance] for look in self.looks.values()])[:, 0]
        value *= self._light(0.0, 0.55)
        scene = self.camera.scene.reflectance[self.backdrop] * self.shadow * np.float32(0.8)
        image = self._sensed("nir", scene, value)
        y = np.linspace(0, 1, self.height, dtype=np.float32)[:, None]
        x = np.linspace(0, 1, self.width, dtype=np.float32)
        image *= self.camera.nir_gain * shot.nir_gain
        image *= np.float32(1.08) - np.float32(0.5) * ((x - 0.5) ** 2 + (y - 0.5) ** 2)
        left, top, strength = shot.glare
        if strength:
            spot = np.exp(-((x - left) ** 2) / 0.18 - (y - top) ** 2 / 0.06)
            image *= 1 + 0.5 * strength
            image += strength * spot
        return self._finished("nir", image, 0.004, 0.02)

    def tir(self) -> Floats:
        """The image in thermal infrared, (height, width); white is hot."""
        camera, shot = self.camera, self.shot
        heat = [[look.heat + shot.warmth.get(m, 0.0)] for m, look in self.looks.items()]
        value = self._table(heat)[self.material, 0]
        # A surface that faces away shows cooler, and limbs cool towards their ends.
        value *= np.float32(0.86) + np.float32(0.14) * self.front
        value *= 1 - np.float32(0.22) * self.distal
        value += np.float32(0.025) * self.creases
        image = self._sensed("tir", camera.scene.heat[self.backdrop], value)
        image *= camera.tir_gain * shot.tir_gain
        image += camera.tir_offset + shot.tir_offset
        return self._finished("tir", image, shot.tir_blur, 0.012)

    def cover(self, modality: Modality) -> Floats:
        """The share of each pixel that somebody hides, (height, width)."""
        hidden = np.ones(len(self.points), np.float32)
        return self._sensed(modality, np.zeros_like(self.shadow), hidden)

    def _table(self, values: list[list[float]] | list[tuple[float, float, float]]) -> Floats:
        """The looks' values as rows that a `Material` indexes."""
        table = np.zeros((len(Material), len(values[0])), np.float32)
        table[[int(m) for m in self.looks]] = values
        return table

    def _albedo(self, values: list[list[float]] | list[tuple[float, float, float]]) -> Floats:
        """What each point reflects, the pattern mixed in: (points, channels)."""
        table = self._table(values)
        albedo: Floats = table[self.material]
        plain = albedo[self.patterned]
        albedo[self.patterned] = plain + self.pattern * (table[Material.PATTERN] - plain)
        return albedo

    def _light(self, sun: float, ambient: float) -> Floats:
        """Light on each point, from all around and from `sun` radians right of the camera."""
        toward = self.side * np.float32(math.sin(sun)) + self.front * np.float32(math.cos(sun))
        toward = np.maximum(toward - np.float32(0.25) * self.down, 0)
        light: Floats = self.open * (np.float32(ambient) + np.float32(1.05 - ambient) * toward)
        return light * (1 + np.float32(0.07) * self.creases)

    def _sensed(self, modality: Modality, scene: Floats, values: Floats) -> Floats:
        """What falls on a sensor: the points before the scene, a little off, averaged."""
        canvas, margin = scene.copy(), _margin(self.height)
        canvas.reshape(-1, *canvas.shape[2:])[self.points] = values
        offsets = zip(self.camera.shift[modality], self.shot.shift[modality], strict=True)
        shares = (float(np.clip(a + b, -_MARGIN, _MARGIN)) for a, b in offsets)
        left, top = (_FINER * margin + round(_FINER * self.height * share) for share in shares)
        seen = canvas[top : top + _FINER * self.height, left : left + _FINER * self.width]
        # _FINER is 2: the mean of four.
        image: Floats = seen[::2, ::2] + seen[::2, 1::2] + seen[1::2, ::2] + seen[1::2, 1::2]
        image *= np.float32(1 / _FINER**2)
        return image

    def _finished(self, modality: Modality, image: Floats, blur: float, grain: float) -> Floats:
        """Blurred by the lens, `blur` of the height, and with the sensor's noise."""
        seed = [self.shot.noise, SENSORS.index(modality)]
        noise = np.random.default_rng(seed).standard_normal(image.shape, dtype=np.float32)
        return _blur(image, self.height * blur) + np.float32(grain) * noise


def _margin(height: int) -> int:
    return math.ceil(height * _MARGIN)


def _canvas_size(height: int, width: int) -> tuple[int, int]:
    margin = 2 * _margin(height)
    return _FINER * (height + margin), _FINER * (width + margin)


@cache
def _creases(height: int, width: int) -> Floats:
    """The creases of clothes: one field for everybody, so that they identify nobody."""
    random = np.random.default_rng(1)
    fine = smooth_noise(random, height, width, 45)
    return smooth_noise(random, height, width, 22) + np.float32(0.5) * fine


def _blur(image: Floats, radius: float) -> Floats:
    """Gaussian blur with a standard deviation of `radius` pixels; edges are repeated."""
    reach = max(round(2.5 * radius), 1)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(radius, 0.1)) ** 2)
    kernel = (kernel / kernel.sum()).astype(np.float32)
    for axis in (0, 1):
        pad = [(0, 0)] * image.ndim
        pad[axis] = (reach, reach)
        padded = np.moveaxis(np.pad(image, pad, mode="edge"), axis, 0)
        size = image.shape[axis]
        blurred = sum(weight * padded[i : i + size] for i, weight in enumerate(kernel))
        image = np.moveaxis(np.asarray(blurred), 0, axis)
    return image


def _quantize(image: Floats) -> NDArray[np.uint8]:
    return (np.clip(image, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)
