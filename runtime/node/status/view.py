"""A snapshot in JSON, as the page's script takes it."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from denet.graph import Modality
from runtime.node.status.snapshot import HeadShown, StatusSnapshot
from runtime.node.tracks.snapshot import TrackInView


def view(snapshot: StatusSnapshot | None) -> bytes:
    """What the page shows, but for the pictures; "null" before there is anything."""
    return msgspec.json.encode(None if snapshot is None else _content(snapshot))


def _content(snapshot: StatusSnapshot) -> dict[str, Any]:
    return {
        "node": snapshot.node,
        "time": snapshot.time,
        "age": time.time() - snapshot.time,
        "heads": [_head(head) for head in snapshot.heads],
        "latency": {"p50": snapshot.latency_p50, "p99": snapshot.latency_p99},
        "matches": [
            {
                "time": seen.time,
                "head": seen.head,
                "state": seen.state.name,
                "identity": seen.match.identity,
                "score": seen.match.score,
                "cosine": seen.match.cosine,
                "rate": seen.match.false_match_rate,
            }
            for seen in snapshot.matches
        ],
        "people": None
        if snapshot.people is None
        else [
            {"number": p.number, "head": p.head, "name": p.name or p.track, "time": p.time}
            for p in snapshot.people
        ],
        "counters": [[name, value] for name, value in snapshot.counters.items()],
        "bundle": snapshot.bundle,
        "backend": snapshot.backend,
        "troubles": list(snapshot.troubles),
    }


def _head(head: HeadShown) -> dict[str, Any]:
    return {
        "name": head.name,
        "state": None if head.state is None else head.state.name,
        "sensors": [
            {
                "modality": modality,
                "fault": verdict.fault,
                "reason": verdict.reason,
                "pictured": modality in head.frames,
                "boxes": _boxes(head, modality),
            }
            for modality, verdict in head.verdicts.items()
        ],
        "plan": [[engine, precision] for engine, precision in head.plan.items()],
        "tracks": None if head.tracks is None else [_track(track) for track in head.tracks],
        "lost": head.lost,
    }


def _track(track: TrackInView) -> dict[str, Any]:
    return {
        "id": track.id,
        "person": track.person,
        "identity": track.identity,
        "seconds": track.seconds,
        "state": track.state,
        "embedded": track.embedded,
    }


def _boxes(head: HeadShown, modality: Modality) -> list[dict[str, Any]]:
    """Who is where in the frame of a sensor: in shares of its width and height, cut to it."""
    frame = head.frames.get(modality)
    view = None if head.views is None else head.views.get(modality)
    found = []
    for track in head.tracks or ():
        if frame is None or track.box is None or not track.present:
            continue
        box = track.box if view is None else view.place(track.box)
        height, width = frame.shape[:2]
        left, right = (min(max(x / width, 0.0), 1.0) for x in (box.left, box.right))
        top, bottom = (min(max(y / height, 0.0), 1.0) for y in (box.top, box.bottom))
        if left < right and top < bottom:
            who = track.identity or track.person or ""
            sides = {"left": left, "top": top, "right": right, "bottom": bottom}
            found.append({"track": track.id, "who": who, **sides})
    return found
