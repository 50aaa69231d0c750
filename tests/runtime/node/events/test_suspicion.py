"""Whether a letter or the broker is to blame."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.node.events.suspicion import PROVEN, Suspicion


def deliver(
    breaks: object, count: int, poison: frozenset[int], limit: int = 20_000
) -> tuple[list[int], list[int], int]:
    """Send letters 1 to `count` as the relay does, one by one after a break.

    Args:
        breaks: called for each letter that is not poison: whether the connection breaks on it.
        count: of letters.
        poison: what always breaks it.
        limit: connections.

    Returns:
        What arrived and what was set aside, in their order, and how many connections it took.
    """
    suspicion, arrived, aside = Suspicion(), [], []
    for connections in range(1, limit + 1):
        suspicion.connected()
        while True:
            left = [n for n in range(1, count + 1) if n not in arrived and n not in aside]
            if not left:
                return arrived, aside, connections
            if suspicion.careful:
                fresh = [n for n in left if suspicion.taken or not suspicion.of(n)]
                flying = (fresh or left)[:1]
            else:
                flying = left[:20]
            broke = False
            for position, number in enumerate(flying):
                if number in poison or breaks():  # type: ignore[operator]
                    culprit = suspicion.broke(flying[position:])
                    if culprit is not None:
                        aside.append(culprit)
                        suspicion.forget(culprit)
                    broke = True
                    break
                suspicion.arrived(number)
                arrived.append(number)
            if broke:
                break
    return arrived, aside, limit


@settings(deadline=None, max_examples=50)
@given(
    st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.frozensets(st.integers(1, n))))
)
def test_exactly_what_breaks_is_set_aside_and_the_others_arrive_in_order(
    given_: tuple[int, frozenset[int]],
) -> None:
    count, poison = given_
    good = [n for n in range(1, count + 1) if n not in poison]
    arrived, aside, _ = deliver(lambda: False, count, poison, limit=1_000)
    assert arrived == good
    assert set(aside) <= poison
    behind = sum(n > max(poison, default=0) for n in good)
    if behind >= PROVEN * len(poison):  # each needs some others that prove it
        assert set(aside) == poison


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 300), st.integers(1, 30))
def test_a_broker_that_is_away_for_any_time_costs_nothing(outage: int, count: int) -> None:
    left = iter([True] * outage)
    arrived, aside, _ = deliver(lambda: next(left, False), count, frozenset())
    assert aside == []
    assert sorted(arrived) == list(range(1, count + 1))


def test_a_line_that_breaks_at_random_costs_nothing() -> None:
    chance = random.Random(0)
    for rate in (0.02, 0.1, 0.2):
        arrived, aside, _ = deliver(lambda rate=rate: chance.random() < rate, 200, frozenset())
        assert aside == []
        assert sorted(arrived) == list(range(1, 201))
