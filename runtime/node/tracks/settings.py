"""What `[tracks]` of a node's configuration says."""

from __future__ import annotations

from typing import Annotated

import msgspec

Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86400)]
Some = Annotated[int, msgspec.Meta(ge=1, le=1000)]


class TrackSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How boxes become tracks, and what is told of them.

    Attributes:
        score: of a detection that begins a track, at least; weaker ones only continue one.
        overlap: intersection over union of a box with where a track is expected, at least.
        confirm: boxes in a row that make a track.
        lost: seconds without a box after which a track ends.
        most: tracks at once, at most.
        every: seconds after which a track that goes on is embedded again in the same state; after
            the n-th time n times as long.
        rise: times the quality of the best sighting so far, from which on one is embedded at once.
        update: seconds between two `updated` events of a track.
        embeddings: whether each embedding is an event of its own, too.
        path: places of a path, at most.
        crops: pictures of the best sightings in the event of the end.
        scores: file of `denet gallery calibrate`; None for that of the gallery, if it has one, or
            for what the bundle carries.
        fmr: with scores: the greatest false-match rate at which two tracks are one person.
        threshold: without scores: the least cosine; None not to compare tracks at all.
        remember: seconds for which a person who left is known again.
        recents: persons who left and are remembered, at most.
    """

    score: Share = 0.5
    overlap: Share = 0.2
    confirm: Some = 2
    lost: Seconds = 2.0
    most: Some = 64
    every: Seconds = 2.0
    rise: Annotated[float, msgspec.Meta(ge=1.05, le=100)] = 1.5
    update: Seconds = 10.0
    embeddings: bool = False
    path: Annotated[int, msgspec.Meta(ge=4, le=10_000)] = 100
    crops: Annotated[int, msgspec.Meta(ge=0, le=16)] = 0
    scores: str | None = None
    fmr: Share | None = None
    threshold: Annotated[float, msgspec.Meta(ge=-1, le=1)] | None = None
    remember: Seconds = 600.0
    recents: Some = 64
