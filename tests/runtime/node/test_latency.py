"""Latencies are counted."""

from __future__ import annotations

import pytest

from runtime.node.latency import BOUNDS, Latencies


def test_latencies_are_counted() -> None:
    latencies = Latencies()
    assert latencies.snapshot().p50 is None
    values = [0.005, 0.01, 0.03, 0.4, 7.0]
    for value in values:
        latencies.add(value)
    told = latencies.snapshot()
    assert told.below == tuple(sum(v <= bound for v in values) for bound in BOUNDS)
    assert (told.count, told.p50) == (5, 0.03)
    assert told.total == pytest.approx(sum(values))
