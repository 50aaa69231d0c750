"""Sides that run in turn. Clocks are the tests' own."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from runtime.benchmark import stats, turns
from tests.runtime.benchmark.clock import Tick


def test_a_warm_up_goes_on_until_times_settle() -> None:
    clock = Tick()
    falling = iter([8.0, 4.0, 2.0, 1.5, 1.2] + [0.1] * 100)
    found = turns.warm_up(clock.side(lambda: next(falling)), clock)
    assert (found.runs, found.settled) == (13, True)  # three of five before the last are fast


def test_a_warm_up_that_does_not_settle_has_an_end_and_says_so() -> None:
    clock = Tick()
    growing = itertools.count(1)
    found = turns.warm_up(clock.side(lambda: 1e-6 * 1.5 ** next(growing)), clock)
    assert not found.settled
    assert found.runs <= turns.WARM_RUNS
    slow = turns.warm_up(clock.side(lambda: turns.WARM_SECONDS + 1), clock)
    assert (slow.runs, slow.settled) == (1, False)


def test_sides_run_in_turn_and_groups_in_stretches() -> None:
    clock, order = Tick(0.001), []
    groups = {
        group: {side: (lambda name=f"{group}{side}": order.append(name)) for side in "AB"}
        for group in "xy"
    }
    found = turns.in_turn(groups, stretches=2, runs=3, clock=clock, warm=False)
    stretch = [
        *(["xA", "xB"]), *(["xA", "xB", "xB", "xA", "xA", "xB"]),
        *(["yA", "yB"]), *(["yA", "yB", "yB", "yA", "yA", "yB"]),
    ]  # fmt: skip
    assert order == stretch * 2
    assert found.unsettled == ()
    assert {len(s) for g in found.times.values() for side in g.values() for s in side} == {3}
    assert len(found.times["x"]["A"]) == 2


def test_a_slow_run_is_never_left_out() -> None:
    clock = Tick()
    seconds = iter([0.0] + [1.0] * 3 + [50.0] + [1.0] * 100)
    found = turns.in_turn(
        {"g": {"s": clock.side(lambda: next(seconds))}},
        stretches=2,
        runs=4,
        clock=clock,
        warm=False,
    )
    assert stats.timing(found.times["g"]["s"]).max == 50e3


def test_what_does_not_settle_is_named() -> None:
    clock = Tick()
    growing = itertools.count(1)
    found = turns.in_turn(
        {"g": {"s": clock.side(lambda: 1.5 ** next(growing))}}, stretches=1, runs=1, clock=clock
    )
    assert found.unsettled == (("g", "s"),)


@given(st.integers(1, 500), st.integers(1, 20))
def test_rounds_are_shared_out_and_none_is_lost(rounds: int, stretches: int) -> None:
    runs = turns.shared_out(rounds, stretches)
    assert runs * stretches >= rounds
    assert (runs - 1) * stretches < rounds
