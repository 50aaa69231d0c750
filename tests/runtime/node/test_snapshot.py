"""The line that a node prints each second."""

from __future__ import annotations

from collections import Counter

from denet.graph import RGB_NIR_TIR
from runtime.node.backlog import Account
from runtime.node.health.verdict import Assessment, Verdict
from runtime.node.latency import Latency
from tests.runtime.node.snapshots import NONE, quiet

LONG = "a sentence that says how the fault shows, with figures, and goes on for a while"


def test_a_line_of_trouble_can_be_read() -> None:
    """No terminal is wider; the whole reason of a fault is told once, when it begins."""
    verdicts = {m: Verdict(m, "frozen", LONG) for m in RGB_NIR_TIR.modalities}
    latency = Latency(**{**{n: getattr(NONE, n) for n in Latency.__dataclass_fields__},
                         "p50": 1.345, "p99": 2.456})  # fmt: skip
    dropped = Counter({f"too late {i}": 100 + i for i in range(10)})
    node = quiet(
        assessment=Assessment(0.0, verdicts, None),
        triplets=Account(9999, 1, dropped=dropped),
        crops=Account(9999, 1, dropped=dropped),
        latency=latency,
        shed={("rgb+nir+tir", "rgb"): 9999},
        unmatched="why",
    )
    line = node.line(None)
    assert len(line) <= 200, line
    for words in ("nothing healthy", "tir frozen", "dropped", "others", "cheaper", "no matching"):
        assert words in line
    assert LONG not in line


def test_what_is_dropped_most_comes_first() -> None:
    account = Account(100, 0, dropped=Counter({"a": 1, "b": 5, "c": 2, "d": 3}))
    line = quiet(crops=account).line(None)
    assert "dropped crop: b 5, others 6" in line
