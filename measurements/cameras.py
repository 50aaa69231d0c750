"""A drawn site with several cameras: what `association.py` measures on.

People come in, walk from camera to camera by the ways that there are, stop, go out, and some come
back. Each camera has three sensors that fail and come back, so that a person is seen in another
missing state from camera to camera, and within one. A track is whole: following people within one
camera is measured by `tracks.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from denet.data.records import Record
from denet.graph import Modality

WAYS: Mapping[tuple[int, int], tuple[float, float]] = {
    (0, 1): (15, 40),
    (1, 2): (20, 50),
    (2, 1): (20, 50),
    (1, 3): (60, 120),
    (3, 1): (60, 120),
    (2, 4): (10, 30),
    (4, 2): (10, 30),
    (3, 4): (30, 70),
    (4, 5): (40, 90),
    (5, 0): (120, 240),
}
"""Seconds from camera to camera, the least and the most of nine in ten."""

ENTRIES, EXITS = (0, 5), (0, 3, 5)

UP, DOWN = 300.0, 120.0
"""Seconds that a sensor works and fails, on average."""

UNSEEN = 0.05
"""Share of those who pass a camera and are not found by it."""

BACK = 0.25
"""Share of people who come a second time."""


@dataclass(frozen=True)
class Passing:
    """One person before one camera.

    Attributes:
        person, camera: numbers.
        began, ended: seconds.
        sightings: each the record whose pictures show it, and which sensors saw it.
    """

    person: int
    camera: int
    began: float
    ended: float
    sightings: Sequence[tuple[Record, tuple[Modality, ...]]]


class _Sensors:
    """Which sensors of a camera work when."""

    def __init__(
        self, modalities: Sequence[Modality], seconds: float, chance: np.random.Generator
    ) -> None:
        self._modalities = modalities
        self._changes: dict[Modality, tuple[bool, np.ndarray]] = {}
        for modality in modalities:
            up = bool(chance.random() < UP / (UP + DOWN))
            spans, works, time = [], up, 0.0
            while time < seconds:
                time += chance.exponential(UP if works else DOWN)
                spans.append(time)
                works = not works
            self._changes[modality] = (up, np.array(spans))

    def working(self, time: float) -> tuple[Modality, ...]:
        """Those that work; the first if none does: a camera that sees nothing has no tracks."""
        found = []
        for modality, (up, spans) in self._changes.items():
            if up ^ bool(np.searchsorted(spans, time) % 2):
                found.append(modality)
        return tuple(found) or (self._modalities[0],)


def drawn_site(
    shots: Mapping[int, Mapping[int, Sequence[Record]]],
    people: int,
    every: float,
    modalities: Sequence[Modality],
    seed: int,
) -> list[Passing]:
    """What the cameras of a site see, in the order in which people leave them.

    Args:
        shots: pictures by person and by camera, of which the first six are taken.
        people: how many come.
        every: seconds from one to the next, on average.
        modalities: of the sensors.
        seed: of chance.
    """
    chance = np.random.default_rng(seed)
    chosen = chance.choice(sorted(shots), people, replace=False)
    seconds = people * every + 7200
    sensors = [_Sensors(modalities, seconds, chance) for _ in range(6)]
    made: list[Passing] = []
    time = 0.0
    for person in chosen.tolist():
        time += chance.exponential(every)
        ended = _walk(person, time, shots[person], sensors, made, chance)
        if chance.random() < BACK:
            again = ended + chance.uniform(300, 1500)
            _walk(person, again, shots[person], sensors, made, chance)
    return sorted(made, key=lambda each: each.ended)


def _walk(
    person: int,
    time: float,
    shots: Mapping[int, Sequence[Record]],
    sensors: Sequence[_Sensors],
    made: list[Passing],
    chance: np.random.Generator,
) -> float:
    """One walk through the site; when it ends."""
    cameras = sorted(shots)[:6]
    here = int(chance.choice(ENTRIES))
    for step in range(8):
        stay = float(chance.uniform(6, 20))
        if chance.random() >= UNSEEN:
            records = shots[cameras[here]]
            count = int(chance.integers(2, 5))
            picked = chance.choice(len(records), count, replace=False)
            times = np.sort(chance.uniform(time, time + stay, count))
            sightings = [
                (records[int(n)], sensors[here].working(float(t)))
                for n, t in zip(picked, times, strict=True)
            ]
            made.append(Passing(person, here, time, time + stay, sightings))
        time += stay
        if step and here in EXITS and chance.random() < 0.5:
            break
        ways = [to for origin, to in WAYS if origin == here]
        if not ways:
            break
        there = int(chance.choice(ways))
        least, most = WAYS[here, there]
        # Nine in ten within these; some stop on the way.
        middle, spread = np.log(np.sqrt(least * most)), np.log(most / least) / 3.29
        time += float(chance.lognormal(middle, spread))
        here = there
    return time
