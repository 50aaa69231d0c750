"""What the status page shows of a node at a moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from denet.graph import Modality, State
from runtime.node.boxes.homography import Views
from runtime.node.events.event import EventMatch
from runtime.node.health import Verdict
from runtime.node.sources.frame import Pixels
from runtime.node.status.strip import PersonShown
from runtime.node.tracks.snapshot import TrackInView


@dataclass(frozen=True)
class Seen:
    """A match of a moment ago.

    Attributes:
        time: of the capture, in seconds since 1970 (UTC).
        state: in which it was seen.
        match: whom it shows.
        head: which head saw it; "" where these have no names.
    """

    time: float
    state: State
    match: EventMatch
    head: str = ""


@dataclass(frozen=True, eq=False)
class HeadShown:
    """A head at a moment.

    Attributes:
        name: of it; "" of the one head of a node without names for them.
        verdicts: one for each of its sensors, in the order to show.
        frames: the last pixels of each sensor, whatever their verdict; nobody writes to them.
        views: where a place of the RGB frame is in them; None if all show the same.
        state: of the newest triplet; None if no sensor is healthy.
        plan: names of the engines that run for it, in their order, with the precision of each.
        tracks: who is followed now; None where nobody is.
        lost: why nothing comes of it; "" otherwise.
    """

    name: str
    verdicts: Mapping[Modality, Verdict]
    frames: Mapping[Modality, Pixels] = field(default_factory=dict)
    views: Views | None = None
    state: State | None = None
    plan: Mapping[str, str] = field(default_factory=dict)
    tracks: Sequence[TrackInView] | None = None
    lost: str = ""


@dataclass(frozen=True, eq=False)
class StatusSnapshot:
    """A node at a moment. It is only referred to; nothing is copied or drawn until someone looks.

    Attributes:
        node: its name.
        time: seconds since 1970 (UTC).
        heads: at least one.
        latency_p50, latency_p99: milliseconds from capture to event; None before the first.
        matches: the newest first.
        people: pictures of who was seen last, the newest first; None where none are kept.
        counters: whatever is counted, by name, in the order to show.
        bundle: what runs, for a person.
        backend: where it runs.
        troubles: what is or was wrong with the node itself, for a person.
    """

    node: str
    time: float
    heads: Sequence[HeadShown]
    latency_p50: float | None = None
    latency_p99: float | None = None
    matches: Sequence[Seen] = ()
    people: Sequence[PersonShown] | None = None
    counters: Mapping[str, float] = field(default_factory=dict)
    bundle: str = ""
    backend: str = ""
    troubles: Sequence[str] = ()
