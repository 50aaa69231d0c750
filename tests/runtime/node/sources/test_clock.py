"""Capture times from time stamps, those of cameras that do not keep to real time included."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.node.sources.clock import WINDOW, StreamClock
from tests.runtime.node.sources.parts import TICK

STALE = 0.5
"""Seconds after which health calls a frame too old."""


def ages(
    clock: StreamClock, moments: Iterable[tuple[float, float]], waited: float = TICK
) -> list[float]:
    """How old each frame is said to be when it comes, of (stamp, arrival)."""
    return [arrival - clock.time(stamp, arrival, waited) for stamp, arrival in moments]


@given(
    delays=st.lists(st.floats(0, 0.3), min_size=2, max_size=200),
    offset=st.floats(-1e5, 1e5),
)
def test_capture_times_are_even_and_never_in_the_future(delays: list[float], offset: float) -> None:
    clock = StreamClock()
    arrivals = list(itertools.accumulate((1e5 + i * TICK + d for i, d in enumerate(delays)), max))
    delays = [at - 1e5 - i * TICK for i, at in enumerate(arrivals)]
    times = [clock.time(offset + i * TICK, at) for i, at in enumerate(arrivals)]
    for i, (captured, arrival) in enumerate(zip(times, arrivals, strict=True)):
        assert captured <= arrival + 1e-9
        # As late as the least delay so far, give or take what clocks drift.
        drift = 2e-4 * (arrivals[i] - arrivals[0]) + 1e-6
        assert abs(captured - (1e5 + i * TICK + min(delays[: i + 1]))) <= drift


def test_a_stream_that_falls_behind_grows_old_and_one_that_restarts_does_not() -> None:
    clock = StreamClock(delay=0.1)
    for i in range(1000):
        clock.time(i * TICK, 50 + i * TICK)
    assert clock.time(1000 * TICK, 90 + 3.0) == pytest.approx(89.9, abs=0.01)
    assert clock.time(0.0, 100.0) == pytest.approx(99.9)  # a new beginning
    assert clock.time(None, 101.0) == pytest.approx(100.9)
    assert not clock.doubt


@given(
    rate=st.floats(0.05, 60),
    started=st.floats(-1e5, 1e5),
    jitter=st.lists(st.floats(0, 0.02), min_size=7, max_size=7),
)
@settings(max_examples=60, deadline=None)
def test_no_rate_of_stamps_makes_a_camera_stale_for_ever(
    rate: float, started: float, jitter: list[float]
) -> None:
    """`rate`: seconds of the stamps for each second that goes by."""
    clock = StreamClock()
    found = ages(
        clock,
        (
            (started + rate * i * TICK, 100 + i * TICK + delay)
            for i, delay in zip(range(3000), itertools.cycle(jitter), strict=False)
        ),
    )
    assert min(found) >= -1e-6
    # A clock that is off by little is found late, but costs no more frames.
    assert sum(age > STALE for age in found) <= (WINDOW + 1) / TICK
    assert found[-1] <= STALE


@given(
    stamps=st.lists(
        st.one_of(st.just(0.0), st.floats(-1e4, 1e4), st.none()), min_size=1, max_size=60
    )
)
@settings(deadline=None)
def test_stamps_of_any_kind_give_times_that_are_not_ahead_and_not_stale_for_long(
    stamps: list[float | None],
) -> None:
    clock = StreamClock()
    late = [
        100 + i * TICK - clock.time(stamp, 100 + i * TICK)
        for i, stamp in zip(range(1500), itertools.cycle(stamps), strict=False)
    ]
    assert min(late) >= -1e-6
    assert sum(age > STALE for age in late) <= (WINDOW + 1) / TICK


def test_stamps_that_stand_still_are_not_believed_and_it_is_said() -> None:
    clock = StreamClock(delay=0.1)
    found = ages(clock, ((0.0, 100 + i * TICK) for i in range(500)))
    assert found == pytest.approx([0.1] * 500)
    assert "they stand still" in clock.doubt


def test_stamps_are_believed_again_when_they_have_agreed_for_a_while() -> None:
    """A camera that exposes twice as long by night, and counts its frames as by day."""
    clock = StreamClock()
    arrival, doubts, found = 100.0, [], []
    for i in range(6000):
        night = 500 <= i < 1250
        arrival += 2 * TICK if night else TICK
        found.append(arrival - clock.time(i * TICK, arrival, TICK))
        doubts.append(clock.doubt)
    assert sum(age > STALE for age in found) <= (WINDOW + 1) / TICK
    first = next(i for i, doubt in enumerate(doubts) if doubt)
    assert 500 < first < 500 + 12 / (2 * TICK)
    assert "fall behind" in doubts[first]
    assert doubts[1260]
    assert not doubts[-1]
    # And then jitter is taken out again.
    assert arrival + 0.2 - clock.time(6000 * TICK - 0.0, arrival + 0.2) == pytest.approx(
        0.2 - TICK, abs=0.01
    )


def test_each_doubt_makes_the_next_trial_longer() -> None:
    clock = StreamClock()
    doubts = []
    for i in range(100_000):
        arrival = 100 + i * TICK * (1 + 6e-4)
        clock.time(i * TICK, arrival)
        doubts.append(bool(clock.doubt))
    changes = [i for i, (a, b) in enumerate(itertools.pairwise(doubts)) if a != b]
    spans = [(b - a) * TICK for a, b in itertools.pairwise(changes)][::2]
    assert spans[:2] == pytest.approx([60, 120], rel=0.1)


def test_a_reader_that_never_waits_is_behind_by_itself() -> None:
    """The machine cannot decode as fast as frames come: they are old, and the stamps are right."""
    clock = StreamClock()
    found = ages(clock, ((i * TICK, 100 + i * TICK * 1.2) for i in range(2000)), waited=1e-4)
    assert found[-1] == pytest.approx(2000 * TICK * 0.2, rel=0.02)
    assert not clock.doubt


def test_a_doubt_outlives_the_connection() -> None:
    clock = StreamClock()
    ages(clock, ((i * TICK, 100 + i * TICK * 1.2) for i in range(1000)))
    assert clock.doubt
    clock.reconnect()
    found = ages(clock, ((i * TICK, 200 + i * TICK * 1.2) for i in range(1000)))
    assert max(found) <= 1e-6
