"""A message of the broker as the event of a track, or why it is none."""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec
import numpy as np

from denet.graph import StateError
from runtime.fleet.errors import FleetError
from runtime.fleet.tables import LARGEST_DIM
from runtime.node.events import PooledEmbedding, TrackEvent
from runtime.node.events.event import SCHEMA
from runtime.states import read_state

LONGEST = 200
"""Characters of an id, a name or a digest."""

LATEST = 32_503_680_000.0
"""The year 3000: what is later is no time."""

UNIT = 2e-3
"""How far from 1 the length of an embedding may be: float16 rounds."""

MOST = 2**31 - 1

TYPES = {"float16": "<f2", "float32": "<f4"}


@dataclass(frozen=True)
class Arrival:
    """What came from the broker.

    Attributes:
        topic: on which.
        body: an event in JSON.
        number: the broker's, by which it is acknowledged.
    """

    topic: str
    body: bytes
    number: int


class _Form(msgspec.Struct):
    schema: int = 1
    kind: str = ""


def read_track_event(body: bytes) -> TrackEvent:
    """The event that a message holds.

    Raises:
        FleetError: it is none, or one that cannot be kept; says why.
    """
    try:
        form = msgspec.json.decode(body, type=_Form)
        if form.schema != SCHEMA:
            raise FleetError(
                f"event schema {form.schema}, but this version of denet reads {SCHEMA}: install "
                "the denet that its node has, then `denet fleet aside --retry`"
            )
        if form.kind != "track":
            raise FleetError(f"an event of the kind {form.kind[:40]!r}, not of a track")
        event = msgspec.json.decode(body, type=TrackEvent)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        # What is there is not repeated: it may be anything.
        raise FleetError(f"not an event of a track: {error}") from None
    if rb"\u0000" in body:
        raise FleetError("has the character NUL in a text, which PostgreSQL does not take")
    _check(event)
    return event


def track_key(event: TrackEvent) -> str:
    """What tells a track from those of all cameras."""
    return f"{event.camera}/{event.track.id}"


def counter(event: TrackEvent) -> int:
    """The number at the end of an event's id: it rises within a run of a node, and a track does not
    outlast one."""
    end = re.search(r"-(\d{1,18})$", event.id)
    return int(end[1]) if end else 0


def halves(embedding: PooledEmbedding) -> bytes:
    """The numbers of an embedding as float16, most significant byte first, as PostgreSQL takes
    them."""
    return np.frombuffer(embedding.data, TYPES[embedding.type]).astype(">f2").tobytes()


def _check(event: TrackEvent) -> None:
    track = event.track
    head = "x" if event.head is msgspec.UNSET else event.head
    names = (event.id, event.node, head, track.id, track.person or "x", event.checkpoint or "x")
    if not all(0 < len(name) <= LONGEST for name in names) or "/" in event.node + head:
        raise FleetError(
            "an id or a name is empty or too long, or the name of a node or a head has a / in it"
        )
    if len(event.projection) > LONGEST or len(event.bundle) > LONGEST or len(track.label) > LONGEST:
        raise FleetError("a digest or a label is too long")
    times = [event.time, track.began, track.began + track.duration]
    times += [place.time for place in track.path] + [crop.time for crop in track.crops]
    if not all(0 <= time < LATEST for time in times) or track.duration < 0:
        raise FleetError("a time in it is none")
    if not (0 <= track.boxes <= MOST and 0 <= track.embedded <= MOST):
        raise FleetError("a count in it is none")
    states = [*track.states, *(p.state for p in track.pooled), *(c.state for c in track.crops)]
    try:
        for name in states:
            read_state(name)
    except StateError as error:
        raise FleetError(str(error)) from None
    if len({pooled.state for pooled in track.pooled}) < len(track.pooled):
        raise FleetError("two embeddings of one state")
    if len({pooled.dim for pooled in track.pooled}) > 1:
        raise FleetError("embeddings of several lengths")
    for pooled in track.pooled:
        _check_embedding(pooled)
    for crop in track.crops:
        if not all(jpeg.startswith(b"\xff\xd8") for jpeg in crop.pictures.values()):
            raise FleetError("a picture is no JPEG")


def _check_embedding(pooled: PooledEmbedding) -> None:
    kind = TYPES.get(pooled.type)
    if kind is None or not 0 < pooled.dim <= LARGEST_DIM:
        raise FleetError(
            f"an embedding of {pooled.dim} numbers: an archive takes {LARGEST_DIM} in float16 or "
            "float32: make them shorter with `denet project`"
        )
    if len(pooled.data) != pooled.dim * np.dtype(kind).itemsize:
        raise FleetError("an embedding has not as many numbers as it says")
    length = float(np.linalg.norm(np.frombuffer(pooled.data, kind).astype(np.float64)))
    if not abs(length - 1) <= UNIT:
        raise FleetError("an embedding is not of length 1")
    if not (0 < pooled.weight < 1e9 and 0 < pooled.count <= MOST and 0 <= pooled.agreement <= 1):
        raise FleetError("a weight, a count or an agreement is none")
