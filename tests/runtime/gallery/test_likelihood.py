"""Likelihood ratios of cosines, against their definition and a distribution that is known."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from calibration.scores import measure_pair
from denet.graph import RGB_NIR_TIR
from runtime.gallery import Scores
from runtime.gallery.likelihood import LikelihoodRatios
from runtime.gallery.scores import LEAST_ERRORS, Pair, ScoreTable, rates_for

STATE = RGB_NIR_TIR.states[0]


def ratios_of(pair: Pair) -> LikelihoodRatios:
    table = ScoreTable(
        dim=8,
        checkpoint="a" * 64,
        projection="",
        data="drawn",
        variant="fp32",
        identities=10,
        rates=tuple(rates_for(pair.impostors).tolist()),
        pairs={STATE.name: {STATE.name: pair}},
    )
    return LikelihoodRatios(Scores(table, "drawn"))


def drawn(seed: int, impostors: int, genuine: int) -> tuple[NDArray[np.float32], ...]:
    random = np.random.default_rng(seed)
    parts = random.normal(0.0, 0.1, impostors), random.normal(0.3, 0.12, genuine)
    return tuple(np.clip(part, -1, 1).astype(np.float32) for part in parts)


def test_it_is_the_ratio_of_two_densities() -> None:
    ratios = ratios_of(measure_pair(*drawn(0, 200_000, 20_000)))
    strangers, same = NormalDist(0.0, 0.1), NormalDist(0.3, 0.12)
    for cosine in np.linspace(-0.05, 0.28, 12):
        true = np.log10(same.pdf(cosine) / strangers.pdf(cosine))
        found = ratios.log10(STATE, STATE, np.array([cosine], np.float32))[0]
        # A stretch of the hull is one value: it is off by what the densities change within it.
        assert found == pytest.approx(true, abs=0.3)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(40, 3000), st.integers(1, 300))
def test_it_is_the_best_slope(seed: int, impostors: int, genuine: int) -> None:
    """By the formula of isotonic regression, the greatest of the least slopes, tried for all."""
    pair = measure_pair(*drawn(seed, impostors, genuine))
    rates = rates_for(impostors)[: len(pair.cosines)]
    kept = rates * impostors >= LEAST_ERRORS
    false = np.append(rates[kept][1:], 0.0)[::-1]
    false = np.append(false, 1.0)
    true = np.append(np.append(np.array(pair.found)[kept][1:], 0.0)[::-1], 1.0)
    cosines = np.array(pair.cosines)[kept][::-1]
    ratios = ratios_of(pair)
    for n in range(1, len(false)):  # between two rates
        if n > 1 and cosines[n - 1] == cosines[n - 2]:
            continue  # two rates at one cosine
        slope = min(
            max((true[b] - true[a]) / (false[b] - false[a]) for b in range(n, len(false)))
            for a in range(n)
        )
        floor = 1 / (genuine + 1)
        inside = cosines[n - 1]
        found = 10 ** ratios.log10(STATE, STATE, np.array([inside], np.float64))[0]
        if slope > floor / (false[n] - false[n - 1]):
            assert found == pytest.approx(slope, rel=1e-6)
        else:
            assert found > 0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3000), st.integers(1, 300))
def test_it_never_falls_and_is_bounded(seed: int, impostors: int, genuine: int) -> None:
    ratios = ratios_of(measure_pair(*drawn(seed, impostors, genuine)))
    found = ratios.log10(STATE, STATE, np.linspace(-1, 1, 201, dtype=np.float32))
    assert np.all(np.diff(found) >= 0)
    assert found[-1] <= np.log10(impostors / min(impostors, LEAST_ERRORS)) + 1e-9 + np.log10(2)
    assert found[0] >= -np.log10(genuine + 1) - 1e-9


def test_states_without_genuine_pairs_are_not_known() -> None:
    impostors, _ = drawn(0, 100, 1)
    assert not ratios_of(measure_pair(impostors, np.empty(0, np.float32))).known(STATE, STATE)
