"""What a node tells the world, and where it goes: a file of JSON lines, an MQTT broker.

from runtime.events import Event, EventIds, EventSettings, open_sinks

sink = open_sinks(EventSettings(lines=LinesSettings(path="events.jsonl")), "gate-3")
sink.publish(Event(id=ids.next(), node="gate-3", time=time.time(), kind="embedding", ...))
sink.close()
"""

from __future__ import annotations

from runtime.events.errors import EventError
from runtime.events.event import (
    Box,
    Condition,
    Embedding,
    Event,
    EventIds,
    Match,
    NoticeKind,
)
from runtime.events.opening import open_sinks
from runtime.events.settings import EventSettings, LinesSettings, MqttSettings
from runtime.events.sink import Counters, Sink

__all__ = [
    "Box",
    "Condition",
    "Counters",
    "Embedding",
    "Event",
    "EventError",
    "EventIds",
    "EventSettings",
    "LinesSettings",
    "Match",
    "MqttSettings",
    "NoticeKind",
    "Sink",
    "open_sinks",
]
