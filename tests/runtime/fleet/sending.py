"""Nodes that send, and workers that keep what they send."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from runtime.fleet.running import Fleet
from runtime.fleet.settings import ArchiveSettings, FleetBrokerSettings, FleetSettings
from runtime.node.events import TrackEvent
from tests.runtime.fleet.drawn import body
from tests.runtime.node.broker import Broker

PERSISTENT = (
    "allow_anonymous true",
    "persistence true",
    "persistence_location {folder}/",
    "autosave_interval 1",
    "autosave_on_changes true",
)
"""Lines of a mosquitto that keeps what waits through its death, but for the last moment."""


def persistent(folder: Path) -> list[str]:
    return [line.format(folder=folder) for line in PERSISTENT]


def settings_of(port: int, url: str, **values: Any) -> FleetSettings:
    broker = FleetBrokerSettings(url=f"mqtt://127.0.0.1:{port}", **values.pop("broker", {}))
    archive = ArchiveSettings(url=url, **values.pop("archive", {}))
    return FleetSettings(archive=archive, broker=broker, **values)


@contextmanager
def running(settings: FleetSettings, said: list[str] | None = None) -> Iterator[Fleet]:
    """Workers that keep what comes."""
    fleet = Fleet(settings, [].append if said is None else said.append)
    fleet.start()
    try:
        yield fleet
    finally:
        fleet.stop()


class Publisher:
    """Publishes bodies as they are, and waits until the broker has them."""

    def __init__(self, broker: Broker) -> None:
        self._client = Client(
            CallbackAPIVersion.VERSION2, "publisher", protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()

    def send(self, events: Iterable[TrackEvent | bytes], node: str = "gate-1") -> None:
        waiting = []
        for event in events:
            content = event if isinstance(event, bytes) else body(event)
            topic = f"denet/{node if isinstance(event, bytes) else event.node}/track"
            waiting.append(self._client.publish(topic, content, qos=1))
        for message in waiting:
            message.wait_for_publish(30)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
