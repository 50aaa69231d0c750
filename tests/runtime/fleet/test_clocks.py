"""Clocks that differ are told once, and what waited in an outbox is not taken for one."""

from __future__ import annotations

from runtime.fleet.clocks import NodeClocks
from tests.runtime.fleet.drawn import NOON

HOUR = 3600.0


def test_a_clock_that_is_ahead_is_told_at_once_and_once() -> None:
    clocks = NodeClocks()
    told = clocks.look("gate-1", NOON + HOUR, NOON)
    assert told is not None
    assert told.startswith("gate-1: its clock is 60 min ahead of this machine's")
    assert "\n" not in told
    assert clocks.look("gate-1", NOON + HOUR + 1, NOON + 1) is None
    assert clocks.look("gate-2", NOON, NOON) is None
    assert clocks.look("gate-1", NOON + 2, NOON + 2) is not None  # agrees again
    assert clocks.look("gate-1", NOON + HOUR, NOON + 3) is not None


def test_a_clock_that_is_behind_is_told_when_no_outbox_explains_it() -> None:
    clocks = NodeClocks()
    told = [clocks.look("gate-1", NOON - HOUR + s, NOON + s) for s in range(0, 600, 30)]
    (at,) = [n for n, line in enumerate(told) if line]
    assert 30 * at >= 300
    assert "comes 60 min or more after its time" in str(told[at])


def test_an_outbox_that_empties_is_no_clock() -> None:
    """A node that was away for an hour sends a thousand events in some seconds."""
    clocks = NodeClocks()
    for n in range(1000):
        assert clocks.look("gate-1", NOON - HOUR + 3.6 * n, NOON + 0.005 * n) is None
    for n in range(100):
        assert clocks.look("gate-1", NOON + 10 * n, NOON + 10 * n + 2) is None


def test_few_events_say_nothing() -> None:
    clocks = NodeClocks()
    assert not any(clocks.look("gate-1", NOON - HOUR, NOON + 200 * n) for n in range(4))
