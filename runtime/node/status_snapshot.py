"""What the status page shows of a node."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.node.head.snapshot import HeadSnapshot
from runtime.node.serving import Serving
from runtime.node.snapshot import NodeSnapshot
from runtime.node.status import HeadShown, Seen, StatusSnapshot
from runtime.node.status.strip import PeopleStrip
from runtime.node.tracks.snapshot import TracksSnapshot


def status_snapshot(
    node: str,
    snapshot: NodeSnapshot,
    serving: Serving,
    matches: Sequence[Seen],
    strip: PeopleStrip | None = None,
) -> StatusSnapshot:
    """A node at a moment.

    Args:
        node: its name.
        snapshot: what it is doing.
        serving: what embeds.
        matches: the newest first.
        strip: pictures of who was seen; None for none.
    """
    tracks = snapshot.tracks
    for head in snapshot.heads if strip is not None else ():
        if strip is not None and head.tracks is not None:
            strip.name(head.name, head.tracks.tracks)
    return StatusSnapshot(
        node=node,
        time=snapshot.time,
        heads=[_head(head, serving) for head in snapshot.heads],
        latency_p50=_milliseconds(snapshot.latency.p50),
        latency_p99=_milliseconds(snapshot.latency.p99),
        matches=matches,
        people=None if strip is None else strip.people,
        counters={
            "triplets": snapshot.triplets.entered,
            "embeddings": snapshot.crops.left,
            "matches": snapshot.matched,
            **({} if tracks is None else _counted(tracks)),
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
    )


def _head(head: HeadSnapshot, serving: Serving) -> HeadShown:
    last, graph = head.assessment, serving.graph
    state = None if last is None else last.state
    return HeadShown(
        name=head.name,
        verdicts={} if last is None else last.verdicts,
        frames=head.pixels,
        views=head.views,
        state=state,
        plan={} if state is None else serving.precisions[graph.state(state.available)],
        tracks=None if head.tracks is None else head.tracks.tracks,
        lost=head.lost,
    )


def _counted(tracks: TracksSnapshot) -> dict[str, float]:
    return {
        "tracks": tracks.account.entered,
        "people who came back": tracks.returned,
        "people remembered": tracks.recents,
    }


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else 1e3 * seconds
