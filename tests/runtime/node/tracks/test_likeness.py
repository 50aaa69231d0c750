"""Whether two tracks are one person."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from runtime.node.matching import AVERAGED
from runtime.node.tracks.likeness import LEAST_WEIGHT, Likeness
from tests.runtime.node.tracks.parts import FULL, SPACE, TIR, near, pooled, scores, unit


def test_without_scores_a_cosine_counts_within_one_state() -> None:
    chance = np.random.default_rng(0)
    a, b, c = (unit(chance) for _ in range(3))
    likeness = Likeness(None, 0.6)
    one = pooled((FULL, a, 1.0), (TIR, b, 0.5))
    assert likeness.score(one, pooled((FULL, c, 2.0))) == pytest.approx(float(a @ c), abs=1e-6)
    mixed = likeness.score(one, pooled((FULL, c, 2.0), (TIR, c, 1.0)))
    assert mixed == pytest.approx((2.0 * float(a @ c) + 0.5 * float(b @ c)) / 2.5, abs=1e-6)
    assert likeness.score(pooled((FULL, a, 1.0)), pooled((TIR, a, 1.0))) is None
    assert (likeness.same(0.7), likeness.same(0.5), likeness.same(None)) == (True, False, False)
    assert not Likeness(None, None).same(1.0)


def test_with_scores_each_pair_of_states_counts_by_its_own_rates() -> None:
    chance = np.random.default_rng(1)
    a = unit(chance)
    table = scores()
    likeness = Likeness(table, 2.0)
    one, other = pooled((FULL, a, 0.5), (TIR, a, 0.25)), pooled((FULL, a, 1.0))
    own = table.score(FULL, FULL, np.array([1.0], np.float32))[0]
    mixed = table.score(TIR, FULL, np.array([1.0], np.float32))[0]
    assert likeness.score(one, other) == pytest.approx((0.5 * own + 0.25 * mixed) / 0.75)
    # A single pair is what the table says.
    single = likeness.score(pooled((TIR, a, 1.0)), pooled((TIR, a, 1.0)))
    assert single == pytest.approx(table.score(TIR, TIR, np.array([1.0], np.float32))[0])


def test_embeddings_of_another_model_are_not_compared() -> None:
    a = unit(np.random.default_rng(2))
    foreign = replace(SPACE, checkpoint="d" * 64)
    assert (
        Likeness(None, 0.0).score(pooled((FULL, a, 1.0)), pooled((FULL, a, 1.0), space=foreign))
        is None
    )


def test_a_state_weighs_what_it_finds() -> None:
    likeness = Likeness(scores(), 2.0, 0.01)
    assert likeness.weight(FULL) == 1.0
    assert LEAST_WEIGHT <= likeness.weight(TIR) < 1.0
    assert Likeness(None, 0.5).weight(TIR) == 1.0


def test_a_mean_of_scores_is_reached_by_strangers_no_oftener_than_promised() -> None:
    """However the scores of one track depend on one another: P(mean >= t) <= e 10^-t."""
    chance = np.random.default_rng(3)
    count, n = 200_000, 6
    for shared in (0.0, 0.5, 0.95, 1.0):
        common = chance.standard_normal((count, 1))
        own = chance.standard_normal((count, n))
        normal = np.sqrt(shared) * common + np.sqrt(1 - shared) * own
        rates = np.sort(chance.standard_normal(count))
        # Each of these alone is reached by 10^-score of strangers.
        above = 1 - np.searchsorted(rates, normal) / (count + 1)
        mean = np.mean(-np.log10(above), axis=1)
        for threshold in (1.0, 2.0, 3.0):
            passed = np.mean(mean - AVERAGED >= threshold)
            assert passed <= 10.0**-threshold + 3 * np.sqrt(10.0**-threshold / count), shared


def test_two_of_one_person_are_more_alike_than_strangers() -> None:
    chance = np.random.default_rng(4)
    alice, bob = np.eye(8, dtype=np.float32)[:2]
    likeness = Likeness(scores(), 2.0)

    def sighted(who: np.ndarray) -> list:
        return [(state, near(who, chance), 1.0) for state in (FULL, TIR)]

    same = likeness.score(pooled(*sighted(alice)), pooled(*sighted(alice)))
    other = likeness.score(pooled(*sighted(alice)), pooled(*sighted(bob)))
    assert same is not None
    assert other is not None
    assert same > 3.0 > other
