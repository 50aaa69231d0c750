"""Waits before something is tried again."""

from __future__ import annotations

import random

from runtime.node.backoff import Backoff


def test_waits_double_up_to_a_ceiling_and_never_end() -> None:
    backoff = Backoff(0.5, 30.0, random.Random(0))
    waits = [backoff.next() for _ in range(5000)]
    for tries, wait in enumerate(waits):
        longest = min(0.5 * 2.0 ** min(tries, 100), 30.0)
        assert longest / 2 <= wait <= longest
    assert len(set(waits[100:])) > 1000
    backoff.reset()
    assert backoff.next() <= 0.5
