"""How long it takes from a capture to its event."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

import numpy as np

BOUNDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds; for a histogram."""

KEPT = 1000
"""Latencies of which quantiles are known."""


@dataclass(frozen=True)
class Latency:
    """Latencies in seconds.

    Attributes:
        p50, p99: of the last ones; None before the first.
        count: of all.
        total: of all together.
        below: how many of all were at most as long as each of `BOUNDS`.
    """

    p50: float | None
    p99: float | None
    count: int
    total: float
    below: tuple[int, ...]


class Latencies:
    """Gathers latencies; one thread adds, others read."""

    def __init__(self) -> None:
        self._last: deque[float] = deque(maxlen=KEPT)
        self._lock = threading.Lock()
        self._counts = [0] * (len(BOUNDS) + 1)
        self._total = 0.0

    def add(self, seconds: float) -> None:
        """Another one."""
        with self._lock:
            self._last.append(seconds)
            self._counts[next((i for i, b in enumerate(BOUNDS) if seconds <= b), -1)] += 1
            self._total += seconds

    def snapshot(self) -> Latency:
        """All of them at one moment."""
        with self._lock:
            last, counts, total = list(self._last), list(self._counts), self._total
        p50, p99 = (None, None) if not last else (float(x) for x in np.quantile(last, [0.5, 0.99]))
        below = tuple(int(x) for x in np.cumsum(counts))
        return Latency(p50, p99, below[-1], total, below[:-1])
