"""What a camera adds: place, light and sensors; and what chance adds to one shot of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from denet.data.synthetic.occluder import Occluder, draw_occluder
from denet.data.synthetic.person import Colour, Material
from denet.data.synthetic.pose import Pose, Viewpoint
from denet.data.synthetic.scene import Scene, draw_scene
from denet.graph import RGB_NIR_TIR, Modality

SENSORS: tuple[Modality, ...] = RGB_NIR_TIR.modalities
"""What each camera sees in: the modalities that are painted. Their places seed the noise."""

# Of the shots: each sensor has its own trouble, and now and then all of them have the same.
_NIGHT, _GLARE, _BLURRED, _OCCLUDED = 0.25, 0.2, 0.25, 0.14

_DIRECTIONS = (0.0, math.pi, 1.1, -1.1)  # towards the camera, away from it, past it
_TURNED = 0.15  # of the shots: the person walks the other way


@dataclass(frozen=True)
class Camera:
    """A place with three sensors, the same for every identity.

    Attributes:
        scene: what is behind the people, of `render.scene_size`.
        yaw: the direction in which most people walk past; see `Pose.yaw`.
        view: from where it looks.
        cast: of its white balance and its light, one factor per colour.
        gain, gamma: of its exposure in visible light.
        sun: where the light comes from, radians to the right of the camera.
        shade: light lost from one side of the picture to the other, -1..1.
        nir_gain, tir_gain: of the other sensors.
        tir_offset: the level of the coldest thing.
        shift: (x, y) by which each modality is off, in shares of the picture's height.
    """

    scene: Scene
    yaw: float
    view: Viewpoint
    cast: Colour
    gain: float
    gamma: float
    sun: float
    shade: float
    nir_gain: float
    tir_gain: float
    tir_offset: float
    shift: dict[Modality, tuple[float, float]]


@dataclass(frozen=True)
class Shot:
    """What is drawn by chance for one triplet; the rest is the identity's and the camera's.

    Attributes:
        noise: the seed of the sensors' noise.
        backdrop: which part of the scene is behind the person, (x, y) in 0..1.
        glare: where near infrared is overexposed, (x, y) in 0..1, and how much.
        tir_blur: radius in shares of the picture's height.
        warmth: by how much garments are warmer than usual, from walking, wind and sun.
    """

    pose: Pose
    view: Viewpoint
    night: bool
    gain: float
    sun: float
    nir_gain: float
    glare: tuple[float, float, float]
    tir_gain: float
    tir_offset: float
    tir_blur: float
    warmth: dict[Material, float]
    occluder: Occluder | None
    shift: dict[Modality, tuple[float, float]]
    backdrop: tuple[float, float]
    noise: int


def draw_camera(random: np.random.Generator, index: int, height: int, width: int) -> Camera:
    """The camera number `index` (from 0), drawn from `random`.

    Args:
        random: source of chance.
        index: makes neighbouring cameras look from different sides.
        height: of the scene, in pixels.
        width: of the scene, in pixels.
    """
    yaw = _DIRECTIONS[index % 4] + random.normal(0, 0.3)
    cast = np.exp(random.normal(0, 0.07, 3))
    r, g, b = (float(c) for c in cast / cast.mean())
    return Camera(
        scene=draw_scene(random, height, width),
        yaw=float(yaw),
        view=Viewpoint(
            scale=float(random.uniform(0.80, 0.88)),
            x=0.0,
            ground=float(random.uniform(0.93, 0.96)),
            pitch=float(random.uniform(0.05, 0.35)),
            roll=float(random.normal(0, 0.02)),
            shear=float(random.normal(0, 0.02)),
        ),
        cast=(r, g, b),
        gain=float(random.uniform(0.8, 1.2)),
        gamma=float(random.uniform(0.85, 1.2)),
        sun=float(random.uniform(-1.1, 1.1)),
        shade=float(random.uniform(-0.35, 0.35)),
        nir_gain=float(random.uniform(0.8, 1.2)),
        tir_gain=float(random.uniform(0.75, 1.0)),
        tir_offset=float(random.uniform(-0.05, 0.15)),
        shift={m: _shift(random, 0.006) for m in SENSORS},
    )


def draw_shot(random: np.random.Generator, camera: Camera) -> Shot:
    """One shot of `camera`, drawn from `random`."""
    turned = math.pi if random.random() < _TURNED else 0.0
    glare = random.random() < _GLARE
    blurred = random.random() < _BLURRED
    view = camera.view
    return Shot(
        pose=Pose(
            yaw=camera.yaw + turned + float(random.normal(0, 0.3)),
            phase=float(random.uniform(0, 2 * math.pi)),
            stride=float(random.uniform(0.2, 0.48)) if random.random() < 0.85 else 0.03,
            lean=float(random.normal(0.04, 0.04)),
            arms_out=float(random.uniform(0.06, 0.22)),
            elbows=float(random.uniform(0.15, 0.7)),
        ),
        view=Viewpoint(
            scale=view.scale * float(np.exp(random.normal(0, 0.025))),
            x=float(random.normal(0, 0.012)),
            ground=view.ground + float(random.normal(0, 0.01)),
            pitch=view.pitch,
            roll=view.roll + float(random.normal(0, 0.015)),
            shear=view.shear,
        ),
        night=random.random() < _NIGHT,
        gain=float(np.exp(random.normal(0, 0.12))),
        sun=camera.sun + float(random.normal(0, 0.3)),
        nir_gain=float(np.exp(random.normal(0, 0.07))),
        glare=(
            float(random.uniform(0.1, 0.9)),
            float(random.uniform(0.1, 0.8)),
            float(random.uniform(0.25, 0.6)) if glare else 0.0,
        ),
        tir_gain=float(np.exp(random.normal(0, 0.1))),
        tir_offset=float(random.normal(0, 0.03)),
        tir_blur=float(random.uniform(0.012, 0.02) if blurred else random.uniform(0.003, 0.006)),
        warmth={m: float(random.normal(0, 0.06)) for m in (Material.TOP, Material.BOTTOM)},
        occluder=draw_occluder(random) if random.random() < _OCCLUDED else None,
        shift={m: _shift(random, 0.006) for m in SENSORS},
        backdrop=(float(random.random()), float(random.random())),
        noise=int(random.integers(2**32)),
    )


def _shift(random: np.random.Generator, spread: float) -> tuple[float, float]:
    x, y = np.clip(random.normal(0, spread, 2), -0.0125, 0.0125)
    return float(x), float(y)
