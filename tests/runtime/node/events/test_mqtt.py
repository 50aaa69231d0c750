"""Events over MQTT, against a real mosquitto that is killed, refuses, hangs, and comes back."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import pytest

pytest.importorskip("paho.mqtt", reason="needs paho-mqtt: pip install '.[node]'")

from paho.mqtt.client import Client

from runtime.node.events import (
    Embedding,
    Event,
    EventError,
    EventIds,
    EventSettings,
    MqttSettings,
    Sink,
    open_sinks,
)
from runtime.node.events.broker import Broker as Address
from runtime.node.events.link import Link, Signal
from runtime.node.events.outbox import Outbox
from runtime.node.events.sink import Counters
from tests.broker import MOSQUITTO, Broker, Receiver, free_port, until
from tests.disk import files_of_at_most
from tests.paths import ROOT

needs_mosquitto = pytest.mark.skipif(
    MOSQUITTO is None, reason="needs mosquitto: apt-get install mosquitto"
)

NODE = "gate-3"
SECRET = "correct horse"

Start = Callable[..., Broker]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts brokers, each with lines of configuration of its own."""
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
    made = Receiver(broker.port)
    yield made
    made.close()


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


def opened(port: int, folder: Path, said: list[str] | None = None, **settings: str) -> Sink:
    values = {"url": f"mqtt://127.0.0.1:{port}", "outbox": str(folder / "outbox.db"), **settings}
    say = [].append if said is None else said.append
    return open_sinks(EventSettings(mqtt=MqttSettings(**values)), NODE, say)


def counted(sink: Sink) -> Counters:
    return sink.counters()[0]


def publish(sink: Sink, sent: list[Event]) -> None:
    for event in sent:
        sink.publish(event)


# Delivery


@needs_mosquitto
def test_events_arrive_whole_in_order_and_once(
    broker: Broker, receiver: Receiver, tmp_path: Path
) -> None:
    sink = opened(broker.port, tmp_path)
    sent = events(200)
    publish(sink, sent)
    sink.close(30)
    until(lambda: len(receiver.events) >= 200)
    assert receiver.events == sent
    last = counted(sink)
    assert (last.published, last.delivered, last.waiting, last.dropped) == (200, 200, 0, {})
    until(lambda: len(receiver.statuses) == 2)
    assert receiver.statuses == ["online", "offline"]
    assert set(receiver.topics) == {f"denet/{NODE}/embedding", f"denet/{NODE}/status"}


@needs_mosquitto
def test_a_broker_that_is_killed_gets_all_when_it_is_back(
    broker: Broker, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The broker forgets who has subscribed, so the receiver must be back before the sender.
    subscribed = threading.Event()
    subscribed.set()
    link = Address.link

    def held(self: Address, signals: SimpleQueue[Signal]) -> Link:
        subscribed.wait(30)
        return link(self, signals)

    monkeypatch.setattr(Address, "link", held)
    said: list[str] = []
    sink = opened(broker.port, tmp_path, said)
    ids = EventIds(NODE)
    sent = events(50, ids)
    publish(sink, sent)
    until(lambda: len(receiver.events) == 50)
    broker.kill()
    until(lambda: not counted(sink).connected)
    time.sleep(0.6)  # for a try that fails
    subscribed.clear()
    while_away = events(120, ids)
    publish(sink, while_away)
    until(lambda: counted(sink).waiting == 120)
    broker.start()
    receiver.wait()
    subscribed.set()
    after = events(10, ids)
    publish(sink, after)
    until(lambda: counted(sink).waiting == 0, 40)
    sink.close()
    everything = [event.id for event in [*sent, *while_away, *after]]
    until(lambda: len(receiver.ids) == len(everything))
    assert receiver.ids == everything
    heads = [text.partition(": ")[2].partition(";")[0] for text in said]
    assert heads == ["connected", "connection lost", "connection refused", "connected"]


@needs_mosquitto
def test_what_one_run_could_not_deliver_the_next_one_does(start: Start, tmp_path: Path) -> None:
    port = free_port()
    first = opened(port, tmp_path)
    sent = events(30)
    publish(first, sent)
    first.close()
    assert counted(first).waiting == 30
    broker = start()
    receiver = Receiver(broker.port)
    second = opened(broker.port, tmp_path)
    assert counted(second).carried == 30
    until(lambda: len(receiver.events) == 30)
    second.close()
    assert receiver.events == sent
    receiver.close()


@needs_mosquitto
def test_a_broker_that_hangs_holds_nobody_up(
    broker: Broker, receiver: Receiver, tmp_path: Path
) -> None:
    sink = opened(broker.port, tmp_path)
    broker.send(signal.SIGSTOP)
    sent = events(100, dim=12288)
    before = time.thread_time()
    publish(sink, sent)
    assert time.thread_time() - before < 0.1
    until(lambda: counted(sink).waiting == 100)
    broker.send(signal.SIGCONT)
    until(lambda: len(receiver.events) == 100)
    sink.close()
    assert [event.id for event in receiver.events] == [event.id for event in sent]


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


@needs_mosquitto
def test_a_publisher_killed_at_any_moment_leaves_no_gap(
    broker: Broker, receiver: Receiver, tmp_path: Path
) -> None:
    chance = random.Random(1)
    outbox = tmp_path / "outbox.db"
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, f"mqtt://127.0.0.1:{broker.port}", str(outbox)],
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        assert child.stdout is not None
        for _ in range(chance.randint(3, 300)):
            child.stdout.readline()
        os.kill(child.pid, signal.SIGKILL)
        child.communicate()
    last = opened(broker.port, tmp_path)
    last.close(30)
    assert counted(last).waiting == 0
    runs: dict[str, list[int]] = {}
    until(lambda: len(receiver.ids) >= counted(last).delivered)
    for name in receiver.ids:
        run, _, count = name.rpartition("-")
        runs.setdefault(run, []).append(int(count))
    # Of each run everything up to some moment, in order: nothing that was kept is missing.
    assert 1 <= len(runs) <= 3
    for counts in runs.values():
        assert counts == list(range(1, len(counts) + 1))


# Refusals


@pytest.fixture
def guarded(start: Start, tmp_path: Path) -> Broker:
    """A broker that knows one user; it also lets a person look on."""
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


@needs_mosquitto
def test_a_wrong_password_is_one_line_without_it(
    guarded: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setenv("BROKER_PASSWORD", "wrong horse")
    with pytest.raises(EventError, match="refused: not authorized") as caught:
        opened(guarded.port, tmp_path, said, user="node", password_env="BROKER_PASSWORD")
    assert "horse" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert said == []
    # The outbox is free for another try, with the right one from a file.
    (tmp_path / "password").write_text(f"{SECRET}\n")
    opened(
        guarded.port, tmp_path, said, user="node", password_file=str(tmp_path / "password")
    ).close()
    assert SECRET not in "".join(said)


@needs_mosquitto
def test_events_that_the_broker_does_not_want_yet_wait(
    guarded: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKER_PASSWORD", SECRET)
    receiver = Receiver(guarded.port, lambda client: client.username_pw_set("reader", "r"))
    said: list[str] = []
    sink = opened(guarded.port, tmp_path, said, user="node", password_env="BROKER_PASSWORD")
    sent = events(5)
    publish(sink, sent)
    until(lambda: any("refuses events: not authorized" in line for line in said))
    assert counted(sink).delivered == 0
    with (tmp_path / "acl").open("a") as acl:
        acl.write("topic write denet/gate-3/#\n")
    guarded.send(signal.SIGHUP)
    until(lambda: len(receiver.events) == 5, 30)
    sink.close()
    receiver.close()
    assert receiver.events == sent


@needs_mosquitto
def test_an_event_that_is_too_large_holds_up_no_other(start: Start, tmp_path: Path) -> None:
    broker = start("allow_anonymous true", "max_packet_size 5000")
    receiver = Receiver(broker.port)
    sink = opened(broker.port, tmp_path)
    ids = EventIds(NODE)
    sent = [*events(1, ids), *events(1, ids, dim=12288), *events(1, ids)]
    publish(sink, sent)
    until(lambda: len(receiver.events) == 2)
    sink.close()
    receiver.close()
    assert receiver.events == [sent[0], sent[2]]
    assert counted(sink).dropped == {"larger than the broker takes": 1}


@needs_mosquitto
def test_the_last_will_says_offline(broker: Broker, receiver: Receiver, tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, f"mqtt://127.0.0.1:{broker.port}", str(tmp_path / "o.db")],
        stdout=subprocess.DEVNULL,
        cwd=ROOT,
    )
    until(lambda: receiver.statuses == ["online"])
    child.kill()
    child.wait()
    until(lambda: receiver.statuses == ["online", "offline"])


# TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two authorities; the first has signed a server and a client."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl")
    folder = tmp_path_factory.mktemp("certificates")

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], cwd=folder, check=True, capture_output=True)

    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    for name in ("ca", "other"):
        own = ["-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem"]
        run("req", "-x509", *curve, *own)
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    for name in ("server", "client"):
        run("req", *curve, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names"]
        run("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", *signed)
    return folder


@pytest.fixture
def encrypted(start: Start, certificates: Path) -> Broker:
    return start(
        "allow_anonymous true",
        f"cafile {certificates / 'ca.pem'}",
        f"certfile {certificates / 'server.pem'}",
        f"keyfile {certificates / 'server.key'}",
        "require_certificate true",
    )


@needs_mosquitto
def test_tls_with_certificates_of_both_sides(
    encrypted: Broker, certificates: Path, tmp_path: Path
) -> None:
    files = {
        "url": f"mqtts://127.0.0.1:{encrypted.port}",
        "ca_file": str(certificates / "ca.pem"),
        "certificate": str(certificates / "client.pem"),
        "key": str(certificates / "client.key"),
    }

    def configure(client: Client) -> None:
        client.tls_set(files["ca_file"], files["certificate"], files["key"])

    receiver = Receiver(encrypted.port, configure)
    sink = opened(0, tmp_path, **files)
    sent = events(20)
    publish(sink, sent)
    until(lambda: len(receiver.events) == 20)
    sink.close()
    receiver.close()
    assert receiver.events == sent
    with pytest.raises(EventError, match="its certificate does not hold"):
        opened(0, tmp_path, **(files | {"ca_file": str(certificates / "other.pem")}))


# Settings


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"url": "http://broker"}, "write mqtt://HOST:PORT"),
        ({"url": "broker:1883"}, "write mqtt://HOST:PORT"),
        ({"url": "mqtt://"}, "write mqtt://HOST:PORT"),
        ({"url": "mqtt://broker:99999"}, "write mqtt://HOST:PORT"),
        ({"url": "mqtt://broker/topic"}, "after the port"),
        ({"url": f"mqtt://node:{SECRET}@broker"}, "set user"),
        ({"url": f"mqtt://node:x/{SECRET}@broker"}, "set user"),
        ({"url": f"{SECRET}@broker"}, "set user"),
        ({"topic": "denet/{nod}/x"}, "{node} and {kind}"),
        ({"topic": "denet/#"}, "no [+] or #"),
        ({"topic": ""}, "topic"),
        ({"status_topic": "denet/{kind}"}, "only {node}"),
        ({"password_env": "NO_SUCH_VARIABLE"}, "without a user"),
        ({"user": "node", "password_env": "NO_SUCH_VARIABLE"}, "NO_SUCH_VARIABLE is not set"),
        ({"user": "node", "password_file": "/no/such/file"}, "/no/such/file: cannot be read"),
        ({"user": "node", "password_file": "/x", "password_env": "X"}, "remove one"),
        ({"ca_file": "/x"}, "without TLS"),
        ({"url": "mqtts://broker", "ca_file": "/no/ca"}, "/no/ca: .* No such file"),
        ({"url": "mqtts://broker", "ca_file": __file__}, "cannot be used for TLS"),
        ({"url": "mqtts://broker", "certificate": "/no/c", "key": "/no/k"}, "/no/c, /no/k: "),
        ({"url": "mqtts://broker", "key": "/no/key"}, "without a certificate"),
        ({"outbox": "/no/such/folder/outbox.db"}, "/no/such/folder/outbox.db: cannot be written"),
    ],
)
def test_a_wrong_setting_is_one_line(settings: dict[str, str], told: str, tmp_path: Path) -> None:
    with pytest.raises(EventError, match=told) as caught:
        opened(1883, tmp_path, **settings)
    assert "\n" not in str(caught.value)
    assert SECRET not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_broker_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    said: list[str] = []
    sink = opened(free_port(), tmp_path, said)
    publish(sink, events(3))
    sink.close()
    assert counted(sink).waiting == 3
    [line] = said
    assert "connection refused; events wait in" in line


def test_a_full_disk_costs_new_events_and_is_told_once(tmp_path: Path) -> None:
    said: list[str] = []
    sink = opened(free_port(), tmp_path, said)
    ids = EventIds(NODE)
    publish(sink, events(3, ids))
    until(lambda: (tmp_path / "outbox.db-wal").stat().st_size > 3 * 4096)
    with files_of_at_most(8192):
        for event in events(5, ids):
            sink.publish(event)
            time.sleep(0.01)
        until(lambda: sum(counted(sink).dropped.values()) == 5)
    publish(sink, events(2, ids))
    sink.close()
    assert counted(sink).waiting == 5
    [reason] = counted(sink).dropped
    assert reason.startswith("the disk")
    assert sum("events are lost" in line for line in said) == 1
    assert sum("written again" in line for line in said) == 1


@needs_mosquitto
def test_what_cannot_be_removed_is_not_sent_again(
    broker: Broker, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: Outbox, numbers: object) -> None:
        raise EventError("outbox.db: the disk is full")

    said: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(Outbox, "remove", refused)
        sink = opened(broker.port, tmp_path, said)
        publish(sink, events(50))
        until(lambda: counted(sink).delivered == 50)
        sink_of = next(iter(sink._sinks))  # type: ignore[attr-defined]
        sink_of._courier._session.link.hang_up()  # the connection breaks, and another is made
        until(lambda: sum("connected" in line for line in said) == 2)
        publish(sink, events(10))
        until(lambda: counted(sink).delivered == 60)
    until(lambda: sink_of._outbox.waiting == 0)
    sink.close()
    until(lambda: len(receiver.events) >= 60)
    assert len(receiver.events) == 60
    assert sum("neither synced nor emptied" in line for line in said) == 1


def test_settings_hide_the_password() -> None:
    for url in (f"mqtt://node:{SECRET}@broker", f"mqtt://a:b@://{SECRET}/@broker", f"{SECRET}@x"):
        assert SECRET not in repr(MqttSettings(url=url, outbox="o", user="node"))
