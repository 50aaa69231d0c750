"""Statistics of times: percentiles, intervals, ratios, and what has settled."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.benchmark import stats

times = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=60)


@given(times, st.floats(0.01, 1.0))
def test_a_percentile_is_the_least_time_that_is_not_below_so_many(
    values: list[float], share: float
) -> None:
    found = stats.percentile(values, share)
    enough = [v for v in values if sum(w <= v for w in values) >= share * len(values) - 1e-6]
    assert found == min(enough)


@given(times)
def test_percentiles_are_those_of_numpy(values: list[float]) -> None:
    for share in (0.5, 0.9, 0.99):
        expected = np.percentile(values, 100 * share, method="inverted_cdf")
        assert stats.percentile(values, share) == expected


@given(st.lists(times, min_size=1, max_size=12))
def test_a_timing_leaves_no_time_out(stretches: list[list[float]]) -> None:
    found = stats.timing(stretches)
    every = 1e3 * np.concatenate(stretches)
    assert found.runs == len(every)
    assert found.max == pytest.approx(every.max())
    assert found.mean == pytest.approx(every.mean())
    assert found.p50 <= found.p90 <= found.p99 <= found.max
    medians = [1e3 * np.median(stretch) for stretch in stretches]
    assert (found.low, found.high) == pytest.approx((min(medians), max(medians)))
    assert found.spread == pytest.approx((max(medians) - min(medians)) / found.p50)


def test_with_fewer_than_a_hundred_runs_p99_is_the_greatest() -> None:
    assert stats.timing([[float(i) for i in range(1, 100)]]).p99 == 99e3
    assert stats.timing([[float(i) for i in range(1, 101)]]).p99 == 99e3
    assert stats.timing([[float(i) for i in range(1, 101)]]).max == 100e3


def test_a_drift_is_spread_and_an_outlier_is_tail() -> None:
    steady = [1.0, 1.0, 1.0, 1.0, 9.0]
    assert not stats.timing([steady] * 4).noisy
    assert stats.timing([steady] * 4).max == 9000
    assert stats.timing([[1.0] * 5, [1.2] * 5]).noisy


# From tables of the sign test's interval for the median, at 95 %.
@pytest.mark.parametrize(
    ("n", "k"), [(6, 1), (8, 1), (9, 2), (10, 2), (20, 6), (30, 10), (100, 40)]
)
def test_the_interval_of_a_median_is_that_of_the_sign_test(n: int, k: int) -> None:
    values = [float(i) for i in range(1, n + 1)]
    assert stats.sign_interval(list(reversed(values))) == (k, n - k + 1)


@pytest.mark.parametrize("n", range(6, 40))
def test_the_interval_misses_the_median_seldom_enough_and_is_no_wider(n: int) -> None:
    def missed(k: int) -> float:
        """How often the k-th least of n values is above the median, or the k-th greatest below."""
        return 2 * sum(math.comb(n, heads) for heads in range(k)) / 2**n

    low, high = stats.sign_interval([float(i) for i in range(1, n + 1)])
    assert low + high == n + 1
    assert missed(int(low)) <= 0.05
    assert low == n // 2 or missed(int(low) + 1) > 0.05


@given(times)
def test_an_interval_holds_the_median_that_was_measured(values: list[float]) -> None:
    low, high = stats.sign_interval(values)
    assert low <= np.median(values) <= high


def test_a_ratio_is_of_pairs_and_a_drift_favours_no_side() -> None:
    drift = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0]
    found = stats.ratio([1.1 * t for t in drift], drift)
    assert found.median == pytest.approx(1.1)
    assert (found.low, found.high) == pytest.approx((1.1, 1.1))
    assert (found.verdict, found.pairs) == ("slower", 8)
    assert stats.ratio(drift, [1.1 * t for t in drift]).verdict == "faster"


def test_a_ratio_around_one_is_the_same_or_nothing_can_be_said() -> None:
    ones = [1.0] * 20
    assert stats.ratio([0.99, 1.01] * 10, ones).verdict == "the same"
    assert stats.ratio([0.9, 1.1] * 10, ones).verdict == "too noisy to say"


def test_times_have_settled_when_two_windows_agree() -> None:
    assert not stats.settled([1.0] * 9)
    assert stats.settled([1.0] * 10)
    assert not stats.settled([1.2] * 5 + [1.0] * 5)
    assert stats.settled([1.2] * 5 + [1.0] * 5 + [1.0, 1.0, 9.0, 1.0, 1.02])
    assert stats.settled([5.0, 1.029, 1.0, 1.0], window=2, tolerance=2.5)


def test_throughput_counts_the_tail() -> None:
    slow = stats.timing([[0.1] * 9 + [1.1]])
    assert stats.throughput(slow, 4) == pytest.approx(4 / 0.2)
