"""A street with several people, as three fixed cameras that see the same: frame after frame.

People are painted once for each step of their gait, and put into the frames where they walk, the
nearer before the farther.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from denet.data.synthetic.painter import Floats
from denet.data.synthetic.person import Person, draw_person
from denet.data.synthetic.pose import Pose
from denet.data.synthetic.render import cover, render, scene_size
from denet.data.synthetic.shot import SENSORS, Camera, Shot, draw_camera, draw_shot
from denet.graph import Modality

STEPS = 8
"""Pictures of a gait."""

STRIDE = 0.9
"""Of the height of a person: how far a whole gait goes."""

NOISE: Mapping[Modality, float] = dict(zip(SENSORS, (3.0, 4.0, 3.0), strict=True))
"""Levels of the sensors, new in every frame."""

_AWAY = 50.0  # heights of the picture, beside which nobody is seen

Place = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels."""


@dataclass(frozen=True)
class Visit:
    """Somebody comes and goes: at times (seconds) at places (pixels from the left), and between
    them along a line.

    Attributes:
        person: number of who it is, from 0.
        times, places: as many of each, the times rising.
        foot: pixels from the top, where they walk.
        height: of an average person there, in pixels.
    """

    person: int
    times: tuple[float, ...]
    places: tuple[float, ...]
    foot: int
    height: int

    def place(self, time: float) -> float | None:
        """Where they are; None while they are away."""
        if not self.times[0] <= time <= self.times[-1]:
            return None
        return float(np.interp(time, self.times, self.places))


@dataclass(frozen=True)
class StreetFrame:
    """A moment.

    Attributes:
        pixels: by modality, (height, width, 3) of rgb and (height, width) of the others, uint8.
        boxes: of everybody who is in view, by their numbers.
    """

    pixels: Mapping[Modality, NDArray[np.uint8]]
    boxes: Mapping[int, Place]


@dataclass(frozen=True)
class _Cutting:
    """A person in one step: pixels times what they cover, and what they leave of the rest."""

    paint: Mapping[Modality, Floats]
    rest: Mapping[Modality, Floats]
    box: Place  # around them, in this picture


class Street:
    """The same street, cameras and people for the same seed.

    Args:
        seed: of all chance.
        people: how many there are.
        size: (width, height) of the frames.
    """

    def __init__(self, seed: int, people: int, size: tuple[int, int]) -> None:
        self._chance = np.random.default_rng(seed)
        self.size = size
        width, height = size
        drawn = draw_camera(self._chance, 0, *scene_size(height, width))
        # Frames lie one over the other, and light is the same from side to side.
        self._camera: Camera = replace(drawn, shift=dict.fromkeys(SENSORS, (0.0, 0.0)), shade=0.0)
        self.people: Sequence[Person] = [draw_person(self._chance) for _ in range(people)]
        self._shot = self._still(draw_shot(self._chance, self._camera))
        self._cuttings: dict[tuple[int, int, bool, int], _Cutting] = {}
        view = replace(self._shot.view, x=_AWAY)
        empty = replace(self._shot, view=view)
        self._behind = {
            m: np.asarray(image, np.float32)
            for m, image in render(self.people[0], self._camera, empty, height, width).items()
        }

    def portraits(self, person: int, foot: int, height: int, count: int) -> Iterator[StreetFrame]:
        """Somebody alone, cut out of frames of their own.

        Args:
            person: who.
            foot, height: as of a `Visit`.
            count: of pictures.
        """
        width = self.size[0]
        way = (0.25 * width, 0.75 * width)
        for number in range(count):
            times = (-1.0, float(count))
            visit = Visit(person, times, way[:: (-1) ** number], foot, height)
            frame = self._frame([visit], float(number))
            left, top, right, foot_at = (round(edge) for edge in frame.boxes[person])
            pixels = {m: image[top:foot_at, left:right] for m, image in frame.pixels.items()}
            yield StreetFrame(pixels, frame.boxes)

    def frames(self, visits: Sequence[Visit], rate: float, count: int) -> Iterator[StreetFrame]:
        """What the cameras see.

        Args:
            visits: who comes when.
            rate: frames a second.
            count: of frames.
        """
        for number in range(count):
            yield self._frame(visits, number / rate)

    def _frame(self, visits: Sequence[Visit], time: float) -> StreetFrame:
        canvas = {m: image.copy() for m, image in self._behind.items()}
        boxes: dict[int, Place] = {}
        for visit in sorted(visits, key=lambda each: each.foot):
            x = visit.place(time)
            if x is None:
                continue
            later = visit.place(time + 0.05)
            right = (x if later is None else later) >= (visit.place(time - 0.05) or x)
            step = int(x / (STRIDE * visit.height) * STEPS) % STEPS
            box = self._put(canvas, self._cutting(visit, step, right=right), x, visit)
            if box is not None:
                boxes[visit.person] = box
        return StreetFrame({m: self._noisy(m, image) for m, image in canvas.items()}, boxes)

    def _put(
        self, canvas: Mapping[Modality, Floats], cutting: _Cutting, x: float, visit: Visit
    ) -> Place | None:
        """Paint somebody; the box around what is in the frame of them, None if nothing is."""
        width, height = self.size
        tall, wide = cutting.rest[SENSORS[0]].shape
        left, top = round(x) - wide // 2, visit.foot - tall
        inside = (
            slice(max(0, -top), min(tall, height - top)),
            slice(max(0, -left), min(wide, width - left)),
        )
        if inside[0].start >= inside[0].stop or inside[1].start >= inside[1].stop:
            return None
        rows = slice(top + inside[0].start, top + inside[0].stop)
        columns = slice(left + inside[1].start, left + inside[1].stop)
        for m, image in canvas.items():
            rest, paint = cutting.rest[m][inside], cutting.paint[m][inside]
            image[rows, columns] *= rest[..., None] if image.ndim == 3 else rest
            image[rows, columns] += paint
        box = cutting.box
        found = (
            max(box[0] + left, 0.0),
            max(box[1] + top, 0.0),
            min(box[2] + left, float(width)),
            min(box[3] + top, float(height)),
        )
        return found if found[2] - found[0] >= 4 and found[3] > found[1] else None

    def _cutting(self, visit: Visit, step: int, *, right: bool) -> _Cutting:
        key = visit.person, step, right, visit.height
        if key not in self._cuttings:
            self._cuttings[key] = self._cut(*key)
        return self._cuttings[key]

    def _cut(self, person: int, step: int, right: bool, height: int) -> _Cutting:
        tall = round(height / 0.84)
        wide = tall // 2 * 2 // 2
        camera = self._small(tall)
        pose = Pose(
            yaw=1.2 if right else -1.2,
            phase=2 * math.pi * step / STEPS,
            stride=0.4,
            lean=0.04,
            arms_out=0.12,
            elbows=0.35,
        )
        view = replace(self._shot.view, scale=0.84, x=0.0, ground=0.95, pitch=0.1)
        shot = replace(self._shot, pose=pose, view=view)
        hidden = cover(self.people[person], camera, shot, tall, wide)
        pictures = render(self.people[person], camera, shot, tall, wide)
        paint, rest = {}, {}
        for m, image in pictures.items():
            pixels = np.asarray(image, np.float32)
            share = hidden[m]
            paint[m] = pixels * (share[..., None] if pixels.ndim == 3 else share)
            rest[m] = 1 - share
        rows, columns = np.nonzero(hidden[SENSORS[0]] > 0.5)
        box = float(columns.min()), float(rows.min()), columns.max() + 1.0, rows.max() + 1.0
        return _Cutting(paint, rest, box)

    def _small(self, height: int) -> Camera:
        """The same cameras, before the part of the scene that pictures of people have."""
        tall, wide = scene_size(height, height // 2)
        scene = self._camera.scene
        rows, columns = (slice(0, tall), slice(0, wide))
        colour = _tiled(scene.colour, tall, wide)[rows, columns]
        return replace(
            self._camera,
            scene=replace(
                scene,
                colour=colour,
                reflectance=_tiled(scene.reflectance, tall, wide)[rows, columns],
                heat=_tiled(scene.heat, tall, wide)[rows, columns],
            ),
        )

    def _still(self, shot: Shot) -> Shot:
        """A shot by day, with nothing amiss."""
        glare = (0.5, 0.5, 0.0)
        shift = dict.fromkeys(SENSORS, (0.0, 0.0))
        return replace(shot, night=False, occluder=None, glare=glare, tir_blur=0.004, shift=shift)

    def _noisy(self, modality: Modality, image: Floats) -> NDArray[np.uint8]:
        noise = self._chance.standard_normal(image.shape, dtype=np.float32)
        return np.clip(image + np.float32(NOISE[modality]) * noise, 0, 255).astype(np.uint8)


def _tiled(sheet: Floats, height: int, width: int) -> Floats:
    """A sheet that is at least so large: the same once more beside it."""
    times = -(-height // sheet.shape[0]), -(-width // sheet.shape[1])
    repeats: tuple[int, ...] = (*times, 1) if sheet.ndim == 3 else times
    tiled: Floats = np.tile(sheet, repeats)
    return tiled
