"""The sink to a real mosquitto that refuses or is away, and to a disk that is full."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

pytest.importorskip("paho.mqtt", reason="needs paho-mqtt: pip install '.[node]'")

from runtime.node.events import (
    EventError,
    EventIds,
)
from runtime.node.events.outbox import Outbox
from tests.disk import files_of_at_most
from tests.runtime.node.broker import Broker, Receiver, free_port
from tests.runtime.node.events.mqtt_parts import (
    NODE,
    SECRET,
    Start,
    counted,
    events,
    needs_mosquitto,
    opened,
    publish,
)
from tests.runtime.node.waiting import until

# Refusals


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
    assert (counted(sink).set_aside, counted(sink).waiting, counted(sink).dropped) == (1, 0, {})
    assert "the broker takes 5000" in counted(sink).reason


# Settings


def test_a_broker_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    said: list[str] = []
    sink = opened(free_port(), tmp_path, said)
    publish(sink, events(3))
    sink.close()
    assert counted(sink).waiting == 3
    [line] = said
    assert "connection refused; events wait in" in line


def test_a_damaged_outbox_is_told_and_what_is_whole_of_it_goes_on(tmp_path: Path) -> None:
    path, port = tmp_path / "outbox.db", free_port()
    sink = opened(port, tmp_path)
    publish(sink, events(9))
    sink.close()
    content = bytearray(path.read_bytes())
    content[-4096:] = b"\xff" * 4096
    path.write_bytes(content)
    said: list[str] = []
    sink = opened(port, tmp_path, said)
    sink.close()
    assert 0 < counted(sink).waiting < 9
    assert f"{path}: was damaged: {counted(sink).waiting} events of it are whole" in said[0]
    assert "outbox.db.damaged-1" in said[0]


def test_a_full_disk_costs_new_events_and_is_told_once(tmp_path: Path) -> None:
    said: list[str] = []
    sink = opened(free_port(), tmp_path, said)
    ids = EventIds(NODE)
    publish(sink, events(3, ids))
    outbox = next(iter(sink._sinks))._outbox  # type: ignore[attr-defined]
    until(lambda: outbox.waiting == 3)
    with files_of_at_most(1):  # wherever in its files it writes next
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
        sink_of._relay._session.link.hang_up()  # the connection breaks, and another is made
        until(lambda: sum("connected" in line for line in said) == 2)
        publish(sink, events(10))
        until(lambda: counted(sink).delivered == 60)
    until(lambda: sink_of._outbox.waiting == 0)
    sink.close()
    until(lambda: len(receiver.events) >= 60)
    assert len(receiver.events) == 60
    assert sum("neither synced nor emptied" in line for line in said) == 1
