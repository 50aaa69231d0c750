"""What a node tells the world: one record for each embedding, and for each change of the node."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Literal, Union, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from denet.graph import Modality
from runtime.node.boxes.box import Box
from runtime.node.events.track_event import TrackFacts
from runtime.node.health import Verdict

SCHEMA = 1
"""Rises when a field changes its meaning or goes; a new field does not raise it."""

NoticeKind = Literal[
    "started",
    "stopped",
    "sensor lost",
    "sensor back",
    "nothing healthy",
    "healthy again",
    "bundle swapped",
    "swap refused",
    "stage failed",
    "stage stuck",
    "stage goes on",
    "event set aside",
    "server away",
    "server back",
    "shedding",
    "shedding over",
    "head lost",
    "head back",
]

EventKind = Literal["embedding", "track", "notice"]

EVENT_KINDS: tuple[EventKind, ...] = get_args(EventKind)

EmbeddingType = Literal["float16", "float32"]


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a sensor could be used.

    Attributes:
        healthy: whether it could.
        fault: what is wrong with it, one of `runtime.node.health.FAULTS`; None if it is healthy.
        reason: how that shows, for a person; "" if it is healthy.
    """

    healthy: bool
    fault: str | None = None
    reason: str = ""

    @classmethod
    def of(cls, verdict: Verdict) -> Condition:
        """What a verdict says."""
        return cls(healthy=verdict.healthy, fault=verdict.fault, reason=verdict.reason)


class Embedding(msgspec.Struct, frozen=True):
    """Numbers of an embedding; in JSON, `data` is base64 of the little-endian bytes.

    Attributes:
        dim: how many there are.
        type: of each.
        data: (dim,) in that type.
    """

    dim: int
    type: EmbeddingType
    data: bytes

    @classmethod
    def of(cls, vector: NDArray[np.float32], kind: EmbeddingType = "float16") -> Embedding:
        """Pack a vector.

        Args:
            vector: (dim,), L2-normalized.
            kind: how it is stored. float16 changes a cosine by less than 0.001.
        """
        packed = vector.astype(np.dtype(kind).newbyteorder("<"))
        return cls(len(packed), kind, packed.tobytes())

    def vector(self) -> NDArray[np.float32]:
        """(dim,) float32."""
        return np.frombuffer(self.data, np.dtype(self.type).newbyteorder("<")).astype(np.float32)


class EventMatch(msgspec.Struct, frozen=True, kw_only=True):
    """Whom the gallery knows in it.

    Attributes:
        identity: who.
        score: what matches are ordered by, see `runtime.gallery.Match`.
        cosine: to the gallery's entry.
        false_match_rate: of one comparison with a stranger at this score; None without a
            calibration.
    """

    identity: str
    score: float
    cosine: float
    false_match_rate: float | None = None


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One record.

    Attributes:
        id: no two events of any node have the same; a receiver drops what it has seen.
        node: which camera node.
        head: which of its heads, where these have names: of an embedding, a track, and a notice
            that is about a head. An event has no such field otherwise.
        time: of the capture, or of the change; seconds since 1970 (UTC).
        kind: "embedding": a person was seen; "track": what became of somebody who is followed;
            "notice": the node itself changed.
        state: the missing state, such as "rgb+tir"; None if no sensor is healthy.
        verdicts: one for each sensor of the node.
        notice: of a notice: what changed.
        reason: of a notice: why, for a person.
        box: where the person is; None where the frame was a crop, and for a notice.
        embedding: None for a notice.
        match: None if nobody is known in it, or there is no gallery.
        checkpoint, projection: sha256 of the model and of what projects its embeddings, as of
            `runtime.gallery.Space`: embeddings can be compared where both are the same.
        bundle: of an embedding: sha256 of the manifest of the bundle that made it.
        precisions: of the engines that made the embedding, in the order they ran.
        schema: `SCHEMA`.
    """

    id: str
    node: str
    time: float
    kind: EventKind
    state: str | None = None
    verdicts: Mapping[Modality, Condition] = {}
    notice: NoticeKind | None = None
    reason: str = ""
    box: Box | None = None
    embedding: Embedding | None = None
    match: EventMatch | None = None
    checkpoint: str = ""
    projection: str = ""
    bundle: str = ""
    precisions: Mapping[str, str] = {}
    schema: int = SCHEMA
    head: Union[str, msgspec.UnsetType] = msgspec.UNSET

    @property
    def camera(self) -> str:
        """Which camera it is of: the node, or "node/head"."""
        return f"{self.node}/{self.head}" if self.head else self.node


class TrackEvent(Event, frozen=True, kw_only=True):
    """An event of the kind "track"; others do not have the field.

    Attributes:
        track: what is told.
    """

    track: TrackFacts


class EventIds:
    """Ids for the events of one run of a node: node, start, and a counter.

    The start is a time and chance: a device without a clock that lasts begins each day at the same
    time.
    """

    def __init__(self, node: str) -> None:
        self._run = f"{node}-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"
        self._count = 0

    def next(self) -> str:
        """An id that was never given out."""
        self._count += 1
        return f"{self._run}-{self._count}"
