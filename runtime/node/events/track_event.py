"""What an event tells of a track."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from denet.graph import Modality

TrackChange = Literal["started", "updated", "identified", "ended"]


class TrackPlace(msgspec.Struct, frozen=True, array_like=True):
    """Where somebody stood; in JSON a list of three numbers.

    Attributes:
        time: seconds since 1970 (UTC).
        x, y: the middle of the lower edge of the box, in pixels of the RGB frame.
    """

    time: float
    x: float
    y: float


class PooledEmbedding(msgspec.Struct, frozen=True, kw_only=True):
    """All sightings in one missing state as one embedding.

    Attributes:
        state: in which they were embedded.
        dim, type, data: as of `Embedding`: L2-normalized.
        count: sightings.
        weight: of them together.
        agreement: of 0 to 1: a cosine to `data` times this is the mean of the cosines of the
            sightings.
    """

    state: str
    dim: int
    type: str
    data: bytes
    count: int
    weight: float
    agreement: float


class TrackCrop(msgspec.Struct, frozen=True, kw_only=True):
    """A picture of a good sighting.

    Attributes:
        time: of the capture, seconds since 1970 (UTC).
        state: in which it was embedded.
        pictures: JPEG by modality; in JSON base64.
    """

    time: float
    state: str
    pictures: Mapping[Modality, bytes]


class TrackFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A track, up to the event.

    Attributes:
        id: of the track.
        change: what is told.
        person: anonymous id, the same when somebody comes back to this node in time; None if
            nothing was embedded.
        label: class of what is followed; "" if the finder names none.
        began: time of the first box, seconds since 1970 (UTC).
        duration: seconds from the first to the last box.
        boxes: how many.
        embedded: sightings that were embedded.
        states: missing states in which it was seen, in the order they came.
        path: where it was; of `updated` and `ended`.
        pooled: an embedding for each state in which it was embedded; of `updated` and `ended`.
        crops: the best sightings, where pictures are asked for; of `ended`.
    """

    id: str
    change: TrackChange
    person: str | None
    label: str
    began: float
    duration: float
    boxes: int
    embedded: int
    states: Sequence[str] = ()
    path: Sequence[TrackPlace] = ()
    pooled: Sequence[PooledEmbedding] = ()
    crops: Sequence[TrackCrop] = ()
