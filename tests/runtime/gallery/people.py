"""People to enrol and to search for."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from denet.graph import RGB_NIR_TIR, State
from runtime.gallery import Enrolment, Gallery, Match, Scores, Space
from runtime.gallery.scores import Pair, ScoreTable

STATES = RGB_NIR_TIR.states


DIM = 8


SPACE = Space(DIM, "a" * 64, "b" * 64)


COMPLETE, TIR = STATES[0], STATES[-1]


relaxed = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def unit(rows: int, dim: int = DIM, seed: int = 0) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).standard_normal((rows, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def person(name: str, vector: NDArray[np.float32], state: State = COMPLETE) -> Enrolment:
    return Enrolment(name, state, vector, time=1.0)


def search(gallery: Gallery, vector: NDArray[np.float32], **options: Any) -> list[Match]:
    return gallery.search(SPACE, vector[None], [options.pop("state", COMPLETE)], **options)[0]


# Four numbers of +-1/2 in one of two places: norms and cosines are exact in float32, and tie often.
exact = st.builds(
    lambda signs, place: np.roll(np.array([*signs, 0, 0, 0, 0], np.float32) / 2, 2 * place),
    st.lists(st.sampled_from([-1, 1]), min_size=4, max_size=4),
    st.integers(0, 2),
)


def table_of(cosines: dict[tuple[State, State], list[float]], space: Space = SPACE) -> Scores:
    pairs: dict[str, dict[str, Pair]] = {}
    for (query, entry), values in cosines.items():
        pairs.setdefault(query.name, {})[entry.name] = Pair(
            impostors=10**6, genuine=0, cosines=tuple(values), found=tuple([0.0] * len(values))
        )
    longest = max(map(len, cosines.values()))
    table = ScoreTable(
        dim=space.dim,
        checkpoint=space.checkpoint,
        projection=space.projection,
        data="drawn",
        variant="fp32",
        identities=2,
        rates=tuple((10.0 ** (-np.arange(longest) / 4)).tolist()),
        pairs=pairs,
    )
    return Scores(table, "scores.json")


posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and signals")
