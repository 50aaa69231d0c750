"""A real mosquitto for each test that asks for one, and who receives from it."""

from __future__ import annotations

import shutil
import subprocess
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


@pytest.fixture
def guarded(start: Start, tmp_path: Path) -> Broker:
    """A broker that knows one user; it also lets a person look on."""
    from tests.runtime.node.events.mqtt_parts import SECRET

    passwords = tmp_path / "passwords"
    tool = shutil.which("mosquitto_passwd")
    if tool is None:
        pytest.skip("needs mosquitto_passwd")
    for user, password in (("node", SECRET), ("reader", "r")):
        created = [] if passwords.exists() else ["-c"]
        subprocess.run([tool, "-b", *created, str(passwords), user, password], check=True)
    (tmp_path / "acl").write_text(
        "user reader\ntopic read #\nuser node\ntopic write denet/gate-3/status\n"
    )
    return start(
        "allow_anonymous false", f"password_file {passwords}", f"acl_file {tmp_path / 'acl'}"
    )
