"""mAP and CMC against cases worked out by hand and against a brute-force reference."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from denet.metrics import Ranking, rank


def ranking(
    order: list[tuple[int, int]], query: tuple[int, int] = (1, 0), tied: bool = False
) -> Ranking:
    """One query against a gallery of (identity, camera), the most similar first."""
    angles = np.zeros(len(order)) if tied else np.linspace(0.1, 1.5, len(order))
    gallery = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    ids, cameras = (np.array([item[k] for item in order]) for k in (0, 1))
    one = np.array([[1.0, 0.0]], np.float32)
    return rank(one, gallery, np.array([query[0]]), ids, np.array([query[1]]), cameras)


def test_matches_at_ranks_one_and_three() -> None:
    result = ranking([(1, 1), (2, 1), (1, 2), (3, 1)])
    assert result.map == pytest.approx(100 * (1 + 2 / 3) / 2)
    assert [result.cmc(k) for k in (1, 5)] == [100, 100]


def test_a_match_in_the_same_camera_does_not_count() -> None:
    result = ranking([(1, 0), (2, 0), (1, 1)])
    # Left: the other person in the same camera, then the match.
    assert result.map == pytest.approx(50)
    assert result.cmc(1) == 0
    assert result.cmc(2) == 100


def test_another_person_in_the_same_camera_does_count() -> None:
    assert ranking([(2, 0), (1, 1)]).map == pytest.approx(50)


def test_a_query_without_a_match_is_skipped() -> None:
    result = ranking([(2, 1), (1, 0)])
    assert result.queries == 0
    assert math.isnan(result.map)
    assert math.isnan(result.cmc(1))


def test_ties_go_to_the_earlier_gallery_item() -> None:
    assert ranking([(1, 1), (2, 1)], tied=True).map == 100
    assert ranking([(2, 1), (1, 1)], tied=True).map == 50


def brute_force(
    similarity: NDArray[np.float64],
    ids: NDArray[np.intp],
    cameras: NDArray[np.intp],
    queries: int,
) -> tuple[list[float], list[int]]:
    """AP and first match of each query by walking down its list, item by item."""
    precisions, firsts = [], []
    for q in range(queries):
        candidates = sorted(range(queries, len(ids)), key=lambda g: (-similarity[q, g], g))
        seen = hits = 0
        found: list[float] = []
        first = -1
        for g in candidates:
            if ids[g] == ids[q] and cameras[g] == cameras[q]:
                continue
            seen += 1
            if ids[g] == ids[q]:
                hits += 1
                found.append(hits / seen)
                first = seen - 1 if first < 0 else first
        if found:
            precisions.append(sum(found) / len(found))
            firsts.append(first)
    return precisions, firsts


@settings(deadline=None, max_examples=60)
@given(
    queries=st.integers(1, 12),
    gallery=st.integers(1, 40),
    identities=st.integers(1, 6),
    cameras=st.integers(1, 3),
    seed=st.integers(0, 10**6),
)
def test_against_brute_force(
    queries: int, gallery: int, identities: int, cameras: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    count = queries + gallery
    ids, cams = random.integers(0, identities, count), random.integers(0, cameras, count)
    # Small whole numbers on the axes: sums are exact, and ties are frequent.
    points = np.eye(8, dtype=np.float32)[random.integers(0, 8, count)]
    points *= random.choice([-1.0, 1.0], (count, 1)).astype(np.float32)
    result = rank(
        points[:queries],
        points[queries:],
        ids[:queries],
        ids[queries:],
        cams[:queries],
        cams[queries:],
    )
    precisions, firsts = brute_force(points.astype(float) @ points.T, ids, cams, queries)
    assert result.queries == len(precisions)
    if precisions:
        assert result.map == pytest.approx(100 * np.mean(precisions))
        for k in (1, 5, 10):
            assert result.cmc(k) == pytest.approx(100 * np.mean(np.array(firsts) < k))
