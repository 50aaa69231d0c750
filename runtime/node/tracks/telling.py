"""What an event says of a track."""

from __future__ import annotations

from runtime.node.announcer import since_1970
from runtime.node.events import (
    Embedding,
    PooledEmbedding,
    TrackChange,
    TrackCrop,
    TrackFacts,
    TrackPlace,
)
from runtime.node.events.event import EmbeddingType
from runtime.node.tracks.live_track import LiveTrack
from runtime.node.tracks.pooling import Pooled


def track_facts(track: LiveTrack, change: TrackChange, kind: EmbeddingType) -> TrackFacts:
    """A track up to now; path and embeddings where they say something new, pictures at the end.

    Args:
        track: what is told of.
        change: what is told.
        kind: how embeddings are stored.
    """
    whole, ended = change in ("updated", "ended"), change == "ended"
    pooled = track.pooled
    return TrackFacts(
        id=track.id,
        change=change,
        person=track.person,
        label=track.tracklet.label,
        began=since_1970(track.began),
        duration=track.tracklet.seen - track.began,
        boxes=track.boxes,
        embedded=0 if pooled is None else pooled.count,
        states=["+".join(available) for available in track.states],
        path=[TrackPlace(since_1970(t), x, y) for t, x, y in track.path.places] if whole else (),
        pooled=pooled_embeddings(pooled, kind) if whole and pooled is not None else (),
        crops=[
            TrackCrop(time=since_1970(c.time), state=c.state.name, pictures=c.pictures)
            for c in (track.crops if ended else ())
        ],
    )


def pooled_embeddings(pooled: Pooled, kind: EmbeddingType = "float16") -> list[PooledEmbedding]:
    """A pooled embedding of each state, as events have them.

    Args:
        pooled: of a track.
        kind: of numbers.
    """
    told = []
    for state in pooled.sums:
        packed = Embedding.of(pooled.vector(state), kind)
        told.append(
            PooledEmbedding(
                state=state.name,
                dim=packed.dim,
                type=packed.type,
                data=packed.data,
                count=pooled.counts[state],
                weight=pooled.weights[state],
                agreement=pooled.agreement(state),
            )
        )
    return told
