"""Writes the synthetic set to disk, in RGBNT201's layout."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from denet.data.synthetic.person import Person, draw_person
from denet.data.synthetic.render import render, scene_size
from denet.data.synthetic.shot import SENSORS, Camera, Shot, draw_camera, draw_shot
from denet.errors import DenetError
from denet.files import replaced_folder
from denet.folders import folder_of
from denet.graph import Modality
from denet.outputs import check_parent, check_place, writing
from denet.temporary import settle

_QUALITY = 90
_PERSON, _CAMERA, _SHOT = range(3)  # what a stream of chance is for


class SyntheticError(DenetError):
    """A synthetic set that cannot be made as asked; nothing is left behind."""


@dataclass(frozen=True)
class SyntheticConfig:
    """What is in a synthetic set; equal configurations give equal sets.

    Attributes:
        identities: how many people, at least 2.
        cameras: how many cameras, 1 to 9: a name has one digit for them.
        shots: of each identity by each camera, 1 to 100.
        height: of an image in pixels, at least 32.
        width: of an image in pixels, at least 16.
        train_share: of the identities, to train on; the others are for the test. Each part gets
            at least one.
        seed: another seed gives other people, cameras and shots.
    """

    identities: int = 60
    cameras: int = 4
    shots: int = 4
    height: int = 128
    width: int = 64
    train_share: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        """See that a set of this kind can be made.

        Raises:
            SyntheticError: it cannot; names the value.
        """
        limits = {
            "identities": (2, 999_999),
            "cameras": (1, 9),
            "shots": (1, 100),
            "height": (32, 2048),
            "width": (16, 2048),
            "seed": (0, 2**64 - 1),
        }
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise SyntheticError(
                    f"{name} is {getattr(self, name)}: it must be from {low} to {high}"
                )
        if not 0 < self.train_share < 1:
            raise SyntheticError(f"train_share is {self.train_share}: it must be between 0 and 1")

    @property
    def train_identities(self) -> int:
        """How many identities are to train on: the first of them."""
        return min(max(round(self.identities * self.train_share), 1), self.identities - 1)


@dataclass(frozen=True)
class World:
    """The people and cameras of a configuration; each is drawn from a stream of its own.

    No draw depends on another: a person is the same whoever else is drawn, and in any order.
    """

    config: SyntheticConfig

    def person(self, identity: int) -> Person:
        """The identity with this number, from 1."""
        return draw_person(self._random(_PERSON, identity))

    @cached_property
    def cameras(self) -> tuple[Camera, ...]:
        """The cameras; the name of the first has the number 1."""
        size = scene_size(self.config.height, self.config.width)
        return tuple(
            draw_camera(self._random(_CAMERA, index), index, *size)
            for index in range(self.config.cameras)
        )

    def shot(self, identity: int, camera: int, shot: int) -> Shot:
        """What chance adds when `camera` (from 0) takes its shot number `shot` (from 0)."""
        return draw_shot(self._random(_SHOT, identity, camera, shot), self.cameras[camera])

    def render(self, person: Person, camera: int, shot: Shot) -> dict[Modality, Image.Image]:
        """The triplet of one shot; see `render.render`."""
        return render(person, self.cameras[camera], shot, self.config.height, self.config.width)

    def _random(self, *key: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self.config.seed, spawn_key=key))


def write_synthetic(
    out: Path, config: SyntheticConfig, *, notify: Callable[[str], None] = lambda _: None
) -> None:
    """Write a synthetic set to a new directory `out`, in RGBNT201's layout.

    There are `out/train` and `out/test`, in each the folders RGB, NI and TI, in each of these
    the same names: `000001_cam1_0_00.jpg` is identity 1, camera 1, by day (1 is by night), shot 0.
    RGB images have three channels, the others one.

    Everything is written under a temporary name beside `out` and then renamed. The same
    configuration gives the same bytes, with the same versions of NumPy and Pillow.

    Args:
        out: the directory to make.
        config: what to write.
        notify: told what is done next, once for each identity.

    Raises:
        SyntheticError: `out` exists, or cannot be written.
    """

    def check_nothing() -> None:
        settle(out)
        if os.path.lexists(out):
            raise SyntheticError(f"{out}: exists already: choose another name, or remove it")

    with writing(out, SyntheticError):
        check_nothing()
        check_parent(out, SyntheticError)
    check_place(out, SyntheticError)
    with writing(out, SyntheticError), replaced_folder(out, check_nothing) as root:
        _write(root, config, notify)


def _write(root: Path, config: SyntheticConfig, notify: Callable[[str], None]) -> None:
    world = World(config)
    for part in ("train", "test"):
        for folder in map(folder_of, SENSORS):
            (root / part / folder).mkdir(parents=True)
    for identity in range(1, config.identities + 1):
        part = "train" if identity <= config.train_identities else "test"
        notify(f"{part} {identity:06}")
        person = world.person(identity)
        for camera in range(config.cameras):
            for number in range(config.shots):
                shot = world.shot(identity, camera, number)
                name = f"{identity:06}_cam{camera + 1}_{int(shot.night)}_{number:02}.jpg"
                for modality, image in world.render(person, camera, shot).items():
                    image.save(root / part / folder_of(modality) / name, quality=_QUALITY)
