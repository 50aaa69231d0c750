"""An archive of people who pass several cameras, and scores that are known."""

from __future__ import annotations

from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from denet.graph import RGB_NIR_TIR, State
from runtime.fleet.pooled_tracks import KeptTrack, Which
from runtime.gallery import Scores
from runtime.gallery.scores import Pair, ScoreTable, rates_for, scores_text
from runtime.node.events import EventIds, TrackEvent
from runtime.node.matching import AVERAGED
from tests.runtime.fleet.drawn import DIM, NOON, SPACE, event, pooled

STATES = RGB_NIR_TIR.states

Vector = NDArray[np.float32]


def score_table(impostors: int = 10**6, found: float = 0.9) -> ScoreTable:
    """As strangers are whose embeddings are drawn by chance; in poor states a little more alike."""
    rates = rates_for(impostors)
    usual = [NormalDist(0, SPACE.dim**-0.5).inv_cdf(max(1e-12, 1 - rate)) for rate in rates]
    pairs = {
        q.name: {
            g.name: Pair(
                impostors=impostors,
                genuine=1000,
                cosines=tuple(
                    np.clip(
                        np.array(usual) + 0.01 * (6 - len(q.available) - len(g.available)), -1, 0.99
                    ).tolist()
                ),
                found=tuple([found] * len(rates)),
            )
            for g in STATES
        }
        for q in STATES
    }
    return ScoreTable(
        dim=SPACE.dim,
        checkpoint=SPACE.checkpoint,
        projection=SPACE.projection,
        data="drawn",
        variant="fp32",
        identities=1000,
        rates=tuple(rates.tolist()),
        pairs=pairs,
    )


def scores(**values: float) -> Scores:
    return Scores(score_table(**values), "scores.json")  # type: ignore[arg-type]


def write_scores(path: Path, **values: float) -> Path:
    path.write_bytes(scores_text(score_table(**values)))  # type: ignore[arg-type]
    return path


def near(vector: Vector, noise: float, random: np.random.Generator) -> Vector:
    other = random.standard_normal(len(vector))
    moved = vector + noise * other / np.linalg.norm(other)
    return (moved / np.linalg.norm(moved)).astype(np.float32)


def passes(
    people: int, cameras: int, seed: int = 0, noise: float = 0.3, dim: int = DIM
) -> list[TrackEvent]:
    """Each person passes each camera once, five minutes after the one before."""
    random = np.random.default_rng(seed)
    ids = {c: EventIds(f"gate-{c}") for c in range(cameras)}
    made = []
    for person in range(people):
        vector = near(np.zeros(dim, np.float32), 1.0, random)
        for camera in range(cameras):
            chosen = random.choice(7, size=random.integers(1, 4), replace=False)
            embeddings = [
                pooled(
                    near(vector, noise, random),
                    STATES[n].name,
                    count=int(random.integers(1, 5)),
                    weight=float(random.uniform(0.2, 2)),
                    agreement=float(random.uniform(0.85, 1)),
                )
                for n in chosen
            ]
            made.append(
                event(
                    ids[camera],
                    f"person-{person}",
                    node=f"gate-{camera}",
                    began=NOON + 60 * person + 300 * camera,
                    embeddings=embeddings,
                    crops=1,
                )
            )
    return made


def brute_force(
    query: dict[State, tuple[Vector, float, int]],
    made: list[TrackEvent],
    known: Scores,
    which: Which,
) -> list[tuple[str, float]]:
    """Every track's score in float64, by the definition, best first."""
    results = []
    for track in made:
        facts = track.track
        if which.cameras is not None and track.node not in which.cameras:
            continue
        since, until = which.interval.since, which.interval.until
        if since is not None and facts.began + facts.duration < since:
            continue
        if until is not None and facts.began > until:
            continue
        total = weight = 0.0
        sightings = sum(p.count for p in facts.pooled)
        for s, (mine, my_weight, _) in query.items():
            for p in facts.pooled:
                vector = np.frombuffer(p.data, "<f2").astype(np.float64)
                cosine = mine.astype(np.float64) @ vector / np.linalg.norm(vector) * p.agreement
                state = next(t for t in STATES if t.name == p.state)
                found = known.score(s, state, np.array([cosine], np.float32))[0]
                total += my_weight * p.weight * float(found)
                weight += my_weight * p.weight
        score = total / weight
        if sum(n for _, _, n in query.values()) > 1 or sightings > 1:
            score = max(0.0, score - AVERAGED)
        results.append((f"{track.node}/{facts.id}", score))
    results.sort(key=lambda each: -each[1])
    return results


def kept(key: str, began: float, seen: float) -> KeptTrack:
    return KeptTrack(key, key.partition("/")[0], began, seen, (), None)
