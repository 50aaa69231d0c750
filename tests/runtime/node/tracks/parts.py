"""What tests of tracks share: people who move, embeddings, calibrated scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from denet.graph import State
from runtime.gallery import Space
from runtime.gallery.scores import Pair, Scores, ScoreTable
from runtime.node.boxes.box import Box
from runtime.node.boxes.detection import Detection
from runtime.node.tracks.pooling import Pooled

SPACE = Space(8, "c" * 64, "")
FULL, TIR = State(("rgb", "nir", "tir")), State(("tir",))


def standing(x: float, y: float = 100.0, height: float = 100.0) -> Box:
    """Somebody whose middle is at x."""
    return Box(x - height / 5, y, x + height / 5, y + height)


def seen(*places: float, score: float = 0.9, label: str = "person") -> list[Detection]:
    return [Detection(standing(x), score, label, ("rgb",)) for x in places]


def unit(chance: np.random.Generator, dim: int = 8) -> Any:
    vector = chance.standard_normal(dim).astype(np.float32)
    return vector / np.linalg.norm(vector)


def near(vector: Any, chance: np.random.Generator, spread: float = 0.1) -> Any:
    moved = vector + spread * chance.standard_normal(len(vector)).astype(np.float32)
    return (moved / np.linalg.norm(moved)).astype(np.float32)


def pooled(*sightings: tuple[State, Any, float], space: Space = SPACE) -> Pooled:
    made = Pooled(space)
    for state, vector, weight in sightings:
        made.add(state, vector, weight)
    return made


def scores(
    states: Sequence[State] = (FULL, TIR), telling: Sequence[float] = (0.9, 0.3), dim: int = 8
) -> Scores:
    """Scores in which a cosine of a complete sighting says more than one of a lesser state."""
    rates = tuple(float(10.0 ** (-k / 2)) for k in range(9))  # to 1e-4
    pairs: dict[str, dict[str, Pair]] = {}
    for state, share in zip(states, telling, strict=True):
        row = pairs[state.name] = {}
        for other, its in zip(states, telling, strict=True):
            both = min(share, its)
            end = 1.0 - 0.5 * both  # the cosine that one stranger in 10,000 reaches
            cosines = tuple(float(x) for x in np.linspace(-0.5, end, len(rates)))
            found = tuple(float(x) for x in np.linspace(1.0, both, len(rates)))
            row[other.name] = Pair(impostors=300_000, genuine=100, cosines=cosines, found=found)
    table = ScoreTable(
        dim=dim,
        checkpoint=SPACE.checkpoint,
        projection="",
        data="drawn",
        variant="fp32",
        identities=10,
        rates=rates,
        pairs=pairs,
    )
    return Scores(table, "scores.json")
