"""What a node tells the world, and where it goes: a file of JSON lines, an MQTT broker.

from runtime.node.events import Event, EventIds, EventSettings, open_sinks

sink = open_sinks(EventSettings(lines=LinesSettings(path="events.jsonl")), "gate-3")
sink.publish(Event(id=ids.next(), node="gate-3", time=time.time(), kind="embedding", ...))
sink.close()
"""

from __future__ import annotations

from runtime.node.boxes.box import Box
from runtime.node.events.errors import EventError
from runtime.node.events.event import (
    Condition,
    Embedding,
    Event,
    EventIds,
    EventMatch,
    NoticeKind,
    TrackEvent,
)
from runtime.node.events.opening import open_sinks
from runtime.node.events.settings import EventSettings, LinesSettings, MqttSettings
from runtime.node.events.sink import Counters, Sink
from runtime.node.events.track_event import (
    PooledEmbedding,
    TrackChange,
    TrackCrop,
    TrackFacts,
    TrackPlace,
)

__all__ = [
    "Box",
    "Condition",
    "Counters",
    "Embedding",
    "Event",
    "EventError",
    "EventIds",
    "EventMatch",
    "EventSettings",
    "LinesSettings",
    "MqttSettings",
    "NoticeKind",
    "PooledEmbedding",
    "Sink",
    "TrackChange",
    "TrackCrop",
    "TrackEvent",
    "TrackFacts",
    "TrackPlace",
    "open_sinks",
]
