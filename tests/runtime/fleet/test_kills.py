"""`kill -9` of database, workers and broker at random moments, while a node sends."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

pytest.importorskip("psycopg", reason="needs psycopg: pip install '.[central]'")
pytest.importorskip("paho.mqtt", reason="needs paho-mqtt: pip install '.[node]'")

from runtime.fleet.errors import FleetError
from runtime.fleet.opening import opened_archive
from runtime.fleet.settings import FleetSettings
from runtime.node.events import EventIds, EventSettings, MqttSettings, open_sinks
from runtime.node.events.outbox import Outbox
from tests.paths import ROOT
from tests.runtime.fleet.drawn import event
from tests.runtime.fleet.sending import settings_of
from tests.runtime.node.broker import Broker
from tests.runtime.node.waiting import until
from tests.runtime.postgres.server import Server

RATE = 100.0
"""Events a second."""

LAST = 2.5
"""Seconds before the death of a broker in which it may have confirmed what it loses: it writes its
file each second, and our notes of what it has confirmed are a quarter of one late."""


class Workers:
    """A `denet fleet run` that can be killed."""

    def __init__(self, config: Path) -> None:
        self._config, self._process = config, None
        self._process: subprocess.Popen[bytes] | None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cli", "fleet", "run", self._config, "--json"],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


@dataclass
class Sent:
    """What the outbox of a node has got rid of.

    Attributes:
        ids: of all events, in the order of their letters.
        confirmed: when the broker had confirmed a letter, by its number.
    """

    ids: list[str] = field(default_factory=list)
    confirmed: dict[int, float] = field(default_factory=dict)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    noted = Sent()
    remove = Outbox.remove

    def removing(self: Outbox, numbers: Collection[int]) -> None:
        noted.confirmed.update(dict.fromkeys(numbers, time.monotonic()))
        remove(self, numbers)

    monkeypatch.setattr(Outbox, "remove", removing)
    return noted


def under_load(
    broker: Broker, folder: Path, sent: Sent, kills: list[Callable[[], None]], seed: int
) -> None:
    """Send events all the time, and kill one after the other at random moments."""
    chance = random.Random(seed)
    sink = open_sinks(
        EventSettings(
            mqtt=MqttSettings(
                url=f"mqtt://127.0.0.1:{broker.port}",
                outbox=str(folder / "out.db"),
                needs_receiver=True,
            )
        ),
        "gate-1",
        lambda line: None,
    )
    ids = EventIds("gate-1")

    def send(seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            number = len(sent.ids)
            made = event(ids, f"track-{number // 5}", "updated", duration=float(number % 5))
            sink.publish(made)
            sent.ids.append(made.id)
            time.sleep(1 / RATE)

    send(1.0)
    for kill in kills:
        send(chance.uniform(0.1, 1.5))
        kill()
    send(1.0)
    until(lambda: sink.snapshot()[0].waiting == 0, 120)
    sink.close(10)
    assert sink.snapshot()[0].dropped == {}


def there(settings: FleetSettings) -> list[str]:
    """The ids of the events in the archive, however long a busy machine takes to say them."""
    for _ in range(20):
        with (
            suppress(FleetError),
            opened_archive(settings) as connection,
        ):
            return [str(row[0]) for row in connection.execute("SELECT id FROM events")]
    raise AssertionError("the archive does not answer")


def workers_of(settings: FleetSettings, folder: Path) -> Workers:
    assert settings.broker is not None
    config = folder / "fleet.toml"
    config.write_text(
        f"workers = {settings.workers}\n[archive]\nurl = {json.dumps(settings.archive.url)}\n"
        f"[broker]\nurl = {json.dumps(settings.broker.url)}\n"
    )
    return Workers(config)


def subscribed(broker: Broker, folder: Path) -> bool:
    """Whether the broker's file has the sessions of both workers."""
    file = folder / "mosquitto.db"
    return file.exists() and all(
        f"denet-fleet-fleet-{n}".encode() in file.read_bytes() for n in (1, 2)
    )


def started(broker: Broker, own: Server, folder: Path) -> tuple[FleetSettings, Workers]:
    """Workers that the broker knows, and their settings."""
    settings = settings_of(broker.port, own.setting())
    workers = workers_of(settings, folder)
    workers.start()
    until(lambda: subscribed(broker, folder), 60)
    return settings, workers


@pytest.mark.slow
@pytest.mark.parametrize("kills", [10, pytest.param(50, marks=pytest.mark.long)])
def test_a_killed_database_and_killed_workers_cost_nothing(
    broker: Broker, own: Server, sent: Sent, tmp_path: Path, kills: int
) -> None:
    settings, workers = started(broker, own, tmp_path)

    def database() -> None:
        own.kill()
        own.start()

    def worker() -> None:
        workers.kill()
        workers.start()

    under_load(broker, tmp_path, sent, [database, worker] * kills, kills)
    try:
        until(lambda: len(there(settings)) >= len(sent.ids), 180)
    finally:
        workers.kill()
    found = there(settings)
    assert len(found) == len(set(found))
    assert set(found) == set(sent.ids)


@pytest.mark.slow
@pytest.mark.parametrize("kills", [10, pytest.param(50, marks=pytest.mark.long)])
def test_a_killed_broker_costs_what_it_had_just_confirmed(
    broker: Broker, own: Server, sent: Sent, tmp_path: Path, kills: int
) -> None:
    """And nothing else: each event that is missing was confirmed just before the broker died."""
    settings, workers = started(broker, own, tmp_path)
    deaths: list[float] = []

    def die() -> None:
        broker.kill()
        deaths.append(time.monotonic())
        broker.start()

    under_load(broker, tmp_path, sent, [die] * kills, kills)
    before = -1
    while (now := len(there(settings))) != before:  # until nothing more comes
        before = now
        time.sleep(20)
    workers.kill()
    found = there(settings)
    assert len(found) == len(set(found))
    assert set(found) <= set(sent.ids)
    missing = [n for n, name in enumerate(sent.ids, 1) if name not in set(found)]
    print(f"{len(sent.ids)} events, {kills} deaths of the broker, {len(missing)} events missing")
    for number in missing:
        confirmed = sent.confirmed[number]
        assert any(0 <= death - confirmed + 0.5 <= LAST + 0.5 for death in deaths), number
