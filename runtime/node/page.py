"""What the status page shows of a node."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from denet.graph import Modality
from runtime.node.announcer import Sighting, since_1970
from runtime.node.facts import Facts
from runtime.node.serving import Serving
from runtime.node.sources.frame import Pixels
from runtime.node.status import Seen, Snapshot

KEPT = 20
"""Matches that are shown."""


class Matches:
    """Remembers the last matches.

    Attributes:
        count: of all that there were.
    """

    def __init__(self) -> None:
        self.count = 0
        self._last: deque[Seen] = deque(maxlen=KEPT)

    def add(self, sighting: Sighting) -> None:
        """A person was embedded, and may be known."""
        if sighting.match is not None:
            self.count += 1
            seen = Seen(since_1970(sighting.time), sighting.state, sighting.match)
            self._last.appendleft(seen)

    @property
    def last(self) -> Sequence[Seen]:
        """The newest first."""
        return tuple(self._last)


def snapshot(
    node: str,
    facts: Facts,
    serving: Serving,
    pixels: Mapping[Modality, Pixels],
    matches: Sequence[Seen],
) -> Snapshot:
    """A node at a moment.

    Args:
        node: its name.
        facts: what it is doing.
        serving: what embeds.
        pixels: the last of each sensor.
        matches: the newest first.
    """
    last = facts.diagnosis
    state = None if last is None else last.state
    return Snapshot(
        node=node,
        time=facts.time,
        verdicts={} if last is None else last.verdicts,
        frames=pixels,
        state=state,
        plan={} if state is None else serving.precisions[serving.graph.state(state.available)],
        latency_p50=_milliseconds(facts.latency.p50),
        latency_p99=_milliseconds(facts.latency.p99),
        matches=matches,
        counters={
            "triplets": facts.triplets.entered,
            "embeddings": facts.crops.left,
            "matches": facts.matched,
            **{f"dropped, {why}": n for why, n in sorted(facts.dropped.items())},
        },
        bundle=serving.bundle,
        backend=f"{serving.runtime.backend}, {serving.runtime.variant}",
    )


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else 1e3 * seconds
