"""Sums of sightings, against each sighting written out in float64."""

from __future__ import annotations

import numpy as np
import pytest

from runtime.node.tracks.pooling import Pooled
from tests.runtime.node.tracks.parts import FULL, SPACE, TIR, near, pooled, unit


def drawn(seed: int) -> tuple[Pooled, list]:
    chance = np.random.default_rng(seed)
    base = unit(chance)
    sightings = [
        (FULL if chance.random() < 0.6 else TIR, near(base, chance, 0.3), chance.uniform(0.1, 1))
        for _ in range(12)
    ]
    return pooled(*sightings), sightings


def test_what_is_kept_says_what_all_sightings_say() -> None:
    (one, mine), (other, its) = drawn(1), drawn(2)
    for s in (FULL, TIR):
        a = [(v.astype(np.float64), w) for state, v, w in mine if state == s]
        total = sum(w * v for v, w in a)
        weight = sum(w for _, w in a)
        np.testing.assert_allclose(one.vector(s), total / np.linalg.norm(total), atol=1e-6)
        assert one.weights[s] == pytest.approx(weight)
        assert one.agreement(s) == pytest.approx(np.linalg.norm(total) / weight)
        x = unit(np.random.default_rng(3)).astype(np.float64)
        mean = sum(w * (v @ x) for v, w in a) / weight
        assert float(one.vector(s) @ x) * one.agreement(s) == pytest.approx(mean, abs=1e-6)
        for t in (FULL, TIR):
            b = [(v.astype(np.float64), w) for state, v, w in its if state == t]
            pairs = [(w1 * w2 * (v1 @ v2), w1 * w2) for v1, w1 in a for v2, w2 in b]
            expected = sum(p for p, _ in pairs) / sum(w for _, w in pairs)
            assert one.mean_cosine(s, other, t) == pytest.approx(expected, abs=1e-6)


def test_neither_the_order_nor_the_way_of_merging_matters() -> None:
    whole, sightings = drawn(4)
    back = pooled(*sightings[::-1])
    parts = pooled(*sightings[:5])
    rest = pooled(*sightings[5:])
    kept = rest.copy()
    parts.merge(rest)
    for state in whole.sums:
        for each in (back, parts):
            np.testing.assert_allclose(each.sums[state], whole.sums[state], atol=1e-5)
            assert each.counts[state] == whole.counts[state]
    for state in rest.sums:
        np.testing.assert_array_equal(kept.sums[state], rest.sums[state])
    assert whole.count == len(sightings)


def test_a_copy_does_not_change() -> None:
    chance = np.random.default_rng(5)
    one = pooled((FULL, unit(chance), 1.0))
    copied, before = one.copy(), one.sums[FULL].copy()
    one.add(FULL, unit(chance), 1.0)
    one.add(TIR, unit(chance), 1.0)
    np.testing.assert_array_equal(copied.sums[FULL], before)
    assert list(copied.sums) == [FULL]
    assert copied.space == SPACE
