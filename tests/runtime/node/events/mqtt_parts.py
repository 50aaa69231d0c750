"""What tests of MQTT share."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("paho.mqtt", reason="needs paho-mqtt: pip install '.[node]'")

from runtime.node.events import (
    Embedding,
    Event,
    EventIds,
    EventSettings,
    MqttSettings,
    Sink,
    open_sinks,
)
from runtime.node.events.sink import Counters
from tests.runtime.node.broker import MOSQUITTO, Broker

needs_mosquitto = pytest.mark.skipif(
    MOSQUITTO is None, reason="needs mosquitto: apt-get install mosquitto"
)

NODE = "gate-3"

SECRET = "correct horse"

Start = Callable[..., Broker]


def events(count: int, ids: EventIds | None = None, dim: int = 512) -> list[Event]:
    vector = np.full(dim, dim**-0.5, np.float32)
    ids = ids or EventIds(NODE)
    return [
        Event(
            id=ids.next(),
            node=NODE,
            time=time.time(),
            kind="embedding",
            embedding=Embedding.of(vector),
        )
        for _ in range(count)
    ]


def opened(port: int, folder: Path, said: list[str] | None = None, **settings: Any) -> Sink:
    values = {"url": f"mqtt://127.0.0.1:{port}", "outbox": str(folder / "outbox.db"), **settings}
    say = [].append if said is None else said.append
    return open_sinks(EventSettings(mqtt=MqttSettings(**values)), NODE, say)


def counted(sink: Sink) -> Counters:
    return sink.snapshot()[0]


def publish(sink: Sink, sent: list[Event]) -> None:
    for event in sent:
        sink.publish(event)


CHILD = """
import sys, time
from runtime.node.events import Event, EventIds, EventSettings, MqttSettings, open_sinks
mqtt = MqttSettings(url=sys.argv[1], outbox=sys.argv[2])
sink = open_sinks(EventSettings(mqtt=mqtt), "gate-3", lambda line: None)
ids = EventIds("gate-3")
while True:
    sink.publish(Event(id=ids.next(), node="gate-3", time=time.time(), kind="notice"))
    print(flush=True)
    time.sleep(0.0005)
"""
