"""A snapshot in JSON, as the page's script takes it."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from runtime.node.status.snapshot import StatusSnapshot


def view(snapshot: StatusSnapshot | None) -> bytes:
    """What the page shows, but for the pictures; "null" before there is anything."""
    return msgspec.json.encode(None if snapshot is None else _content(snapshot))


def _content(snapshot: StatusSnapshot) -> dict[str, Any]:
    return {
        "node": snapshot.node,
        "time": snapshot.time,
        "age": time.time() - snapshot.time,
        "state": None if snapshot.state is None else snapshot.state.name,
        "sensors": [
            {
                "modality": modality,
                "fault": verdict.fault,
                "reason": verdict.reason,
                "pictured": modality in snapshot.frames,
            }
            for modality, verdict in snapshot.verdicts.items()
        ],
        "plan": [[engine, precision] for engine, precision in snapshot.plan.items()],
        "latency": {"p50": snapshot.latency_p50, "p99": snapshot.latency_p99},
        "matches": [
            {
                "time": seen.time,
                "state": seen.state.name,
                "identity": seen.match.identity,
                "score": seen.match.score,
                "cosine": seen.match.cosine,
                "rate": seen.match.false_match_rate,
            }
            for seen in snapshot.matches
        ],
        "tracks": None
        if snapshot.tracks is None
        else [
            {
                "id": track.id,
                "person": track.person,
                "identity": track.identity,
                "seconds": track.seconds,
                "state": track.state,
                "embedded": track.embedded,
            }
            for track in snapshot.tracks
        ],
        "counters": [[name, value] for name, value in snapshot.counters.items()],
        "bundle": snapshot.bundle,
        "backend": snapshot.backend,
        "troubles": list(snapshot.troubles),
    }
