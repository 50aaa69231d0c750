"""Capture times from time stamps."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.node.sources.clock import StreamClock
from tests.runtime.node.sources.parts import TICK


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
    for i in range(100):
        clock.time(i * TICK, 50 + i * TICK)
    assert clock.time(100 * TICK, 54 + 3.0) == pytest.approx(53.9, abs=0.01)
    assert clock.time(0.0, 60.0) == pytest.approx(59.9)  # a new beginning
    assert clock.time(None, 61.0) == pytest.approx(60.9)
