"""A real mosquitto for each test that asks for one, and who receives from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # they need paho-mqtt, without which other tests of this folder run
    from tests.runtime.node.broker import Broker, Receiver
    from tests.runtime.node.events.mqtt_parts import Start


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts brokers, each with lines of configuration of its own."""
    from tests.runtime.node.broker import Broker

    made: list[Broker] = []

    def begin(*lines: str) -> Broker:
        broker = Broker(tmp_path, *lines)
        made.append(broker)
        broker.start()
        return broker

    yield begin
    for broker in made:
        broker.kill()


@pytest.fixture
def broker(start: Start) -> Broker:
    return start()


@pytest.fixture
def receiver(broker: Broker) -> Iterator[Receiver]:
    from tests.runtime.node.broker import Receiver

    made = Receiver(broker.port)
    yield made
    made.close()
