"""A node at a moment, in a line for a terminal."""

from __future__ import annotations

from dataclasses import replace

from runtime.node.backlog import Account
from runtime.node.health import Assessment, Verdict
from runtime.node.latency import Latencies
from runtime.node.watchdog import StageSnapshot
from tests.runtime.node.snapshots import quiet


def test_a_line_tells_what_happened_since_the_last() -> None:
    none = Latencies().snapshot()
    some = replace(none, p50=0.02, p99=0.05)
    dark = Assessment(0.0, {"rgb": Verdict("rgb", "black", "dark")}, None)
    before = quiet(
        triplets=Account(10, 10),
        crops=Account(10, 10),
        batches=1,
        latency=none,
        stages={"boxes": StageSnapshot(False, 0, "")},
    )
    now = quiet(
        running=3,
        assessment=dark,
        triplets=Account(60, 56, {"overflow": 4}),
        crops=Account(40, 40),
        batches=1,
        latency=some,
        unmatched="another model",
        stages={"boxes": StageSnapshot(True, 0, "")},
    )
    clock, *parts = now.line(before).split(" | ")
    assert clock.count(":") == 2
    assert parts == [
        "nothing healthy",
        "25.0 triplets/s",
        "15.0 embeddings/s",
        "p50 20 ms, p99 50",
        "dropped triplet: overflow 4",
        "no matching",
        "stuck",
        "rgb: dark",
    ]
