"""People who walk from camera to camera, drawn: tracks whose truth is known, and scores that were
measured on others of their kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from calibration.scores import measure_pair
from denet.graph import State
from runtime.fleet.settings import IdentitySettings, TransitSettings
from runtime.gallery import Scores
from runtime.gallery.scores import Pair, ScoreTable, rates_for, scores_text
from runtime.node.events import EventIds, TrackEvent
from tests.runtime.fleet.drawn import DIM, NOON, SPACE, event, pooled
from tests.runtime.fleet.people import STATES, Vector, near

LINE = ("door", "hall", "yard", "gate")
"""Cameras that people pass one after the other."""

SECONDS = (30.0, 60.0)
"""From each to the next."""

NOISE = 0.8


def seen_in(face: Vector, state: State, noise: float, random: np.random.Generator) -> Vector:
    """An embedding of somebody: the less is seen, the less it is like them."""
    missing = 3 - len(state.available)
    return near(face, noise * (1 + 0.5 * missing), random)


def line_settings(**values: object) -> IdentitySettings:
    """Of who knows these ways."""
    transits = tuple(
        TransitSettings(origin=one, to=other, seconds=SECONDS) for one, other in pairwise(LINE)
    )
    return IdentitySettings(**({"transits": transits, "window": 900.0} | values))  # type: ignore[arg-type]


def walks(
    people: int,
    seed: int = 0,
    *,
    noise: float = NOISE,
    every: float = 20.0,
    cameras: Sequence[str] = LINE,
) -> tuple[list[TrackEvent], Mapping[str, int]]:
    """The ends of all tracks in the order of time, and who is in each, by its key.

    Args:
        people: each walks past all cameras once, and is seen by each in one state.
        seed: of chance.
        noise: of embeddings in the complete state.
        every: seconds from one person to the next, about.
        cameras: in their order.
    """
    random = np.random.default_rng(seed)
    made, truth = [], {}
    begin = NOON
    for person in range(people):
        face = near(np.zeros(DIM, np.float32), 1.0, random)
        time = begin = begin + random.exponential(every)
        for camera in cameras:
            stay = float(random.uniform(5, 15))
            state = STATES[random.integers(7)]
            embedding = pooled(seen_in(face, state, noise, random), state.name, agreement=1.0)
            name = f"track-{random.integers(2**48):012x}"
            made.append((time + stay, camera, name, time, stay, embedding))
            truth[f"{camera}/{name}"] = person
            time += stay + float(random.uniform(*SECONDS))
    made.sort(key=lambda each: each[0])
    ids = {camera: EventIds(camera) for camera in cameras}
    return [
        event(ids[camera], name, node=camera, began=began, duration=stay, embeddings=[embedding])
        for _, camera, name, began, stay, embedding in made
    ], truth


@cache
def walk_scores(noise: float = NOISE) -> Scores:
    """Measured on 400 other people, two embeddings of each in each state."""
    random = np.random.default_rng(12345)
    faces = [near(np.zeros(DIM, np.float32), 1.0, random) for _ in range(400)]
    sides = [
        {s: np.stack([seen_in(face, s, noise, random) for face in faces]) for s in STATES}
        for _ in range(2)
    ]
    same = np.eye(len(faces), dtype=bool)
    pairs: dict[str, dict[str, Pair]] = {}
    for q in STATES:
        pairs[q.name] = {}
        for g in STATES:
            cosines = sides[0][q] @ sides[1][g].T
            pairs[q.name][g.name] = measure_pair(cosines[~same], cosines[same])
    table = ScoreTable(
        dim=SPACE.dim,
        checkpoint=SPACE.checkpoint,
        projection=SPACE.projection,
        data="drawn",
        variant="fp32",
        identities=len(faces),
        rates=tuple(rates_for(len(faces) * (len(faces) - 1)).tolist()),
        pairs=pairs,
    )
    return Scores(table, "scores.json")


def write_walk_scores(path: Path, noise: float = NOISE) -> Path:
    path.write_bytes(scores_text(walk_scores(noise).table))
    return path
