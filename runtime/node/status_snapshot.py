"""What the status page shows of a node."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from denet.graph import Modality
from runtime.node.announcer import Sighting, since_1970
from runtime.node.events import EventMatch
from runtime.node.serving import Serving
from runtime.node.snapshot import NodeSnapshot
from runtime.node.sources.frame import Pixels
from runtime.node.status import Seen, StatusSnapshot
from runtime.node.tracks.snapshot import TracksSnapshot

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
            self.add_track(sighting, sighting.match)

    def add_track(self, sighting: Sighting, match: EventMatch) -> None:
        """The gallery knows somebody in a track.

        Args:
            sighting: the last of it.
            match: whom.
        """
        self.count += 1
        self._last.appendleft(Seen(since_1970(sighting.time), sighting.state, match))

    @property
    def last(self) -> Sequence[Seen]:
        """The newest first."""
        return tuple(self._last)


def status_snapshot(
    node: str,
    snapshot: NodeSnapshot,
    serving: Serving,
    pixels: Mapping[Modality, Pixels],
    matches: Sequence[Seen],
) -> StatusSnapshot:
    """A node at a moment.

    Args:
        node: its name.
        snapshot: what it is doing.
        serving: what embeds.
        pixels: the last of each sensor.
        matches: the newest first.
    """
    last = snapshot.assessment
    state = None if last is None else last.state
    return StatusSnapshot(
        node=node,
        time=snapshot.time,
        verdicts={} if last is None else last.verdicts,
        frames=pixels,
        state=state,
        plan={} if state is None else serving.precisions[serving.graph.state(state.available)],
        latency_p50=_milliseconds(snapshot.latency.p50),
        latency_p99=_milliseconds(snapshot.latency.p99),
        matches=matches,
        counters={
            "triplets": snapshot.triplets.entered,
            "embeddings": snapshot.crops.left,
            "matches": snapshot.matched,
            **({} if snapshot.tracks is None else _counted(snapshot.tracks)),
            **{
                f"events set aside, {counters.sink}": counters.set_aside
                for counters in snapshot.events
                if counters.set_aside
            },
            **{f"dropped, {why}": n for why, n in sorted(snapshot.dropped.items())},
        },
        bundle=serving.bundle,
        backend=f"{serving.runtime.backend}, {serving.runtime.variant}",
        troubles=[
            *([f"the server is away: {snapshot.away}"] if snapshot.away else ()),
            *(f"{name}: {s.trouble}" for name, s in snapshot.stages.items() if s.trouble),
        ],
        tracks=None if snapshot.tracks is None else snapshot.tracks.tracks,
    )


def _counted(tracks: TracksSnapshot) -> dict[str, float]:
    return {
        "tracks": tracks.account.entered,
        "people who came back": tracks.returned,
        "people remembered": tracks.recents,
    }


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else 1e3 * seconds
