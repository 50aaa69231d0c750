"""A real MQTT broker, and a receiver that remembers everything."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from runtime.node.events import Event
from tests.runtime.node.waiting import until

# Debian has it where only root looks.
MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """A mosquitto on loopback that can be killed and comes back."""

    def __init__(self, folder: Path, *lines: str) -> None:
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        user = ["user root"] if os.geteuid() == 0 else []
        anonymous = [] if lines else ["allow_anonymous true"]
        common = [f"listener {self.port} 127.0.0.1", "max_queued_messages 0"]
        self._config.write_text("\n".join([*user, *common, *anonymous, *lines, ""]))
        self._log = folder / "mosquitto.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert MOSQUITTO is not None
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [MOSQUITTO, "-c", str(self._config)], stdout=log, stderr=log
            )
        until(self._listens)

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Broker:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


class Receiver:
    """Subscribes to everything; reconnects by itself."""

    def __init__(
        self, port: int, configure: Callable[[Client], None] = lambda client: None
    ) -> None:
        self.events: list[Event] = []
        self.statuses: list[str] = []
        self.topics: list[str] = []
        self._ready = threading.Event()
        client = Client(
            CallbackAPIVersion.VERSION2, "receiver", protocol=MQTTProtocolVersion.MQTTv5
        )
        # It subscribes anew before a sender, who waits longer, comes back.
        client.reconnect_delay_set(0.05, 0.05)  # type: ignore[arg-type]
        client.on_connect = self._connected
        client.on_subscribe = lambda *_: self._ready.set()
        client.on_disconnect = lambda *_: self._ready.clear()
        client.on_message = self._received
        configure(client)
        client.connect("127.0.0.1", port)
        client.loop_start()
        self._client = client
        self.wait()

    def wait(self) -> None:
        """Until it is subscribed (again)."""
        assert self._ready.wait(30)

    def _connected(self, client: Client, *_: Any) -> None:
        client.subscribe("#", options=SubscribeOptions(qos=1))

    def _received(self, _client: Client, _data: Any, message: Any) -> None:
        self.topics.append(message.topic)
        if message.topic.endswith("/status"):
            self.statuses.append(message.payload.decode())
        else:
            self.events.append(msgspec.json.decode(message.payload, type=Event))

    @property
    def ids(self) -> list[str]:
        """Of all events, in the order of their first arrival, none twice."""
        return list(dict.fromkeys(event.id for event in self.events))

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
