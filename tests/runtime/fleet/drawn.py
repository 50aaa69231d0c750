"""Track events, drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from runtime.fleet.storing import SpaceIds, store
from runtime.gallery import Space
from runtime.node.events import (
    Box,
    Condition,
    Embedding,
    EventIds,
    PooledEmbedding,
    TrackChange,
    TrackCrop,
    TrackEvent,
    TrackFacts,
    TrackPlace,
)
from runtime.postgres.connecting import Connection

DIM = 64

SPACE = Space(DIM, "a" * 64, "b" * 64)

NOON = 1_790_000_000.0

JPEG = b"\xff\xd8\xff\xe0 a picture \xff\xd9"


def pooled(
    vector: NDArray[np.float32],
    state: str = "rgb+nir+tir",
    *,
    count: int = 3,
    weight: float = 1.0,
    agreement: float = 0.95,
) -> PooledEmbedding:
    packed = Embedding.of(vector)
    return PooledEmbedding(
        state=state,
        dim=packed.dim,
        type=packed.type,
        data=packed.data,
        count=count,
        weight=weight,
        agreement=agreement,
    )


def unit(seed: int, dim: int = DIM) -> NDArray[np.float32]:
    vector = np.random.default_rng(seed).standard_normal(dim)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def event(
    ids: EventIds | str = "gate-1-20260101T000000-00-1",
    track: str = "track-1",
    change: TrackChange = "ended",
    *,
    node: str = "gate-1",
    began: float = NOON,
    duration: float = 20.0,
    embeddings: Sequence[PooledEmbedding] | None = None,
    crops: int = 0,
    **values: Any,
) -> TrackEvent:
    whole = change in ("updated", "ended")
    if embeddings is None:
        embeddings = [pooled(unit(1))] if whole else []
    end = began + duration
    return TrackEvent(
        id=ids if isinstance(ids, str) else ids.next(),
        node=node,
        time=values.pop("time", end),
        kind="track",
        state=embeddings[0].state if embeddings else "rgb",
        verdicts={"rgb": Condition(healthy=True)},
        box=Box(1.0, 2.0, 30.0, 60.0),
        checkpoint=values.pop("checkpoint", SPACE.checkpoint),
        projection=SPACE.projection,
        track=TrackFacts(
            id=track,
            change=change,
            person=values.pop("person", None),
            label="person",
            began=began,
            duration=duration,
            boxes=int(10 * duration),
            embedded=3,
            states=[e.state for e in embeddings],
            path=[TrackPlace(began, 1.0, 2.0), TrackPlace(end, 3.0, 4.0)] if whole else (),
            pooled=embeddings,
            crops=[
                TrackCrop(time=began + n, state="rgb", pictures={"rgb": JPEG, "tir": JPEG})
                for n in range(crops)
            ],
        ),
        **values,
    )


def body(made: TrackEvent) -> bytes:
    return msgspec.json.encode(made)


def put(connection: Connection, made: Iterable[TrackEvent]) -> int:
    return store(connection, SpaceIds(), list(made), [], NOON)
