"""What tests of health share: drawn scenes and their frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from denet.data.synthetic import World
from denet.graph import RGB_NIR_TIR, Modality
from runtime.node.health import Limits, Verdict
from runtime.node.health.sensor import Sensor
from runtime.node.sources import (
    Absence,
    Frame,
    Item,
)

Image = NDArray[Any]

MODALITIES = RGB_NIR_TIR.modalities

TICK = 0.04

LIMITS = Limits()

ONSET = LIMITS.repeat_frames - 1
"""Frames until a repeat is known for one."""


def scene(
    shape: tuple[int, ...], dtype: Any = np.uint8, noise: float = 2.0, seed: int = 0
) -> Iterator[Image]:
    """A still scene with something that moves through it, and a sensor's noise, for ever."""
    chance = np.random.default_rng(seed)
    height, width = shape[:2]
    small = chance.uniform(60, 190, (height // 8 + 1, width // 4 + 1, *shape[2:]))
    still = np.kron(small, np.ones((8, 4) + (1,) * (len(shape) - 2)))[:height, :width]
    scale = np.iinfo(dtype).max / 255
    position = 0
    while True:
        image = still.copy()
        left = position % width
        image[height // 4 : -height // 4, left : left + width // 4] = 120
        position += 1
        image += chance.normal(0, noise, shape)
        yield (np.clip(image, 0, 255) * scale).astype(dtype)


def frames(images: Iterator[Image], modality: Modality = "rgb", start: int = 0) -> Iterator[Frame]:
    for i, image in enumerate(images, start):
        yield Frame(modality, i * TICK, image, i)


def judged(sensor: Sensor, item: Item | Absence) -> Verdict:
    return sensor.judge(item, item.time if not isinstance(item, Absence) else 0.0)


def walk(world: World, count: int, *, night: bool | None = None) -> Iterator[dict[Modality, Image]]:
    for identity in range(1, 1000):
        shots = (world.shot(identity, 0, n) for n in range(1000))
        shot = next(s for s in shots if night in (None, s.night))
        for i in range(count):
            pose = replace(shot.pose, phase=shot.pose.phase + 0.2 * i)
            drawn = world.render(world.person(identity), 0, replace(shot, pose=pose, noise=i))
            yield {m: np.asarray(image) for m, image in drawn.items()}
