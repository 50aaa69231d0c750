"""Letters that cannot be delivered, and brokers that are away: which is told from which."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("paho.mqtt", reason="needs paho-mqtt: pip install '.[node]'")

from runtime.node.backoff import Backoff
from runtime.node.events import Event, EventIds
from runtime.node.events import relay as relay_module
from runtime.node.events.encoding import encode
from runtime.node.events.outbox import Outbox
from runtime.node.events.packet import packet_size
from tests.runtime.node.broker import Receiver, free_port
from tests.runtime.node.events.mqtt_parts import (
    NODE,
    Start,
    counted,
    events,
    needs_mosquitto,
    opened,
    publish,
)
from tests.runtime.node.events.scripted import CLOSE, TAKE, Reply, ScriptedBroker, disconnect
from tests.runtime.node.waiting import until

Scripted = Callable[..., ScriptedBroker]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for the next try."""
    monkeypatch.setattr(relay_module, "Backoff", functools.partial(Backoff, 0.001, 0.01))


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    made: list[ScriptedBroker] = []

    def begin(script: Callable[[str, bytes], Reply | int], largest: int = 0) -> ScriptedBroker:
        made.append(ScriptedBroker(script, largest))
        return made[-1]

    yield begin
    for broker in made:
        broker.close()


def waiting_in(folder: Path, sent: list[Event]) -> None:
    """Leave events in an outbox, as a run does whose broker is away."""
    sink = opened(free_port(), folder)
    publish(sink, sent)
    sink.close()
    assert counted(sink).waiting == len(sent)


def some(large: set[int], count: int = 40) -> list[Event]:
    ids = EventIds(NODE)
    return [events(1, ids, dim=4096 if n in large else 8)[0] for n in range(count)]


REPLIES: dict[str, Reply | int] = {
    "closes": CLOSE,
    "disconnects: too large": disconnect(0x95),
    "disconnects: unspecified": disconnect(0x80),
    "refuses: unspecified": 0x80,
    "refuses: format": 0x99,
    "sends nonsense": b"\x40\x7f" + b"\xff" * 127,
    "sends what is no packet": b"\x00\xff\xff\xff\xff\xff\xff",
}


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
@pytest.mark.parametrize("large", [{0}, {7, 8}])
def test_what_breaks_the_connection_is_set_aside_and_the_others_arrive_in_order(
    scripted: Scripted, tmp_path: Path, reply: Reply | int, large: set[int]
) -> None:
    broker = scripted(lambda _topic, body: reply if len(body) > 5000 else TAKE)
    sent = some(large)
    good = [encode(event) for n, event in enumerate(sent) if n not in large]
    waiting_in(tmp_path, sent)
    said: list[str] = []
    sink = opened(broker.port, tmp_path, said)
    until(lambda: counted(sink).set_aside == len(large))
    until(lambda: counted(sink).waiting == 0)
    sink.close()
    last = counted(sink)
    assert (last.carried, last.delivered, last.dropped) == (len(sent), len(good), {})
    assert list(dict.fromkeys(broker.taken)) == good
    assert last.reason
    assert any("set aside" in line for line in said)
    # It is not lost, and goes again when somebody says so.
    outbox = Outbox(tmp_path / "outbox.db", 10_000_000)
    assert [aside.size > 5000 for aside in outbox.aside()] == [True] * len(large)
    assert (outbox.waiting, outbox.set_aside) == (0, len(large))
    outbox.empty_aside(drop=False)
    outbox.close()
    mended = scripted(lambda *_: TAKE)
    sink = opened(mended.port, tmp_path)
    until(lambda: counted(sink).waiting == 0)
    sink.close()
    assert mended.taken == [encode(event) for n, event in enumerate(sent) if n in large]


AWAY: dict[str, Reply | int] = {
    "closes": CLOSE,
    "disconnects: unspecified": disconnect(0x80),
    "disconnects: shutting down": disconnect(0x8B),
    "disconnects: another has the name": disconnect(0x8E),
    "refuses: unspecified": 0x80,
    "refuses: rights": 0x87,
}


@pytest.mark.parametrize("reply", AWAY.values(), ids=AWAY)
@pytest.mark.parametrize("status_too", [True, False])
def test_an_outage_sets_no_letter_aside(
    scripted: Scripted, tmp_path: Path, reply: Reply | int, status_too: bool
) -> None:
    def away(topic: str, _body: bytes) -> Reply | int:
        if broker.connections > 60 or (topic.endswith("/status") and not status_too):
            return TAKE
        return reply

    broker = scripted(away)
    sent = some({3})
    waiting_in(tmp_path, sent)
    sink = opened(broker.port, tmp_path)
    until(lambda: counted(sink).waiting == 0)
    sink.close()
    assert (counted(sink).delivered, counted(sink).set_aside) == (len(sent), 0)
    assert set(broker.taken) == {encode(event) for event in sent}


def test_what_is_larger_than_the_broker_says_is_never_sent(
    scripted: Scripted, tmp_path: Path
) -> None:
    sent = some({2}, 5)
    topic = "Tür/embedding"
    # Ids and times differ by some digits.
    fits = max(packet_size(topic, encode(event)) for n, event in enumerate(sent) if n != 2) + 4
    broker = scripted(lambda *_: TAKE, fits)
    sink = opened(broker.port, tmp_path, topic="Tür/{kind}")
    publish(sink, sent)
    until(lambda: counted(sink).waiting == 0)
    sink.close()
    assert (counted(sink).delivered, counted(sink).set_aside) == (4, 1)
    assert f"the broker takes {fits}" in counted(sink).reason
    assert broker.connections == 1


def test_the_size_of_a_packet_is_what_is_sent(scripted: Scripted, tmp_path: Path) -> None:
    broker = scripted(lambda *_: TAKE)
    letters = [
        ("ä/b", bytes(size)) for size in (0, 100, 117, 118, 119, 16_373, 16_374, 16_375, 2_097_143)
    ]
    outbox = Outbox(tmp_path / "outbox.db", 10_000_000)
    outbox.add(letters)
    outbox.close()
    sink = opened(broker.port, tmp_path)
    until(lambda: counted(sink).waiting == 0)
    sink.close()
    sizes = [size for topic, size in broker.sizes if topic == "ä/b"]
    assert sizes == [packet_size(topic, body) for topic, body in letters]


def test_a_status_that_breaks_the_connection_keeps_no_event_back(
    scripted: Scripted, tmp_path: Path
) -> None:
    broker = scripted(lambda topic, _: CLOSE if topic.endswith("/status") else TAKE)
    said: list[str] = []
    sink = opened(broker.port, tmp_path, said)
    sent = some(set(), 30)
    publish(sink, sent)
    until(lambda: counted(sink).delivered == 30)
    until(lambda: any("published no more" in line for line in said))
    sink.close()
    assert broker.taken == [encode(event) for event in sent]
    assert counted(sink).set_aside == 0


DAMAGE = {
    "a number": "UPDATE letters SET body = 5 WHERE number = 2",
    "text": "UPDATE letters SET body = 'x' WHERE number = 2",
    "a topic of bytes": "UPDATE letters SET topic = x'ff' WHERE number = 2",
    "a topic that is no UTF-8": "UPDATE letters SET topic = CAST(x'ff' AS TEXT) WHERE number = 2",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_letter_keeps_no_other_back(
    scripted: Scripted, tmp_path: Path, damage: str
) -> None:
    broker = scripted(lambda *_: TAKE)
    sent = some(set(), 5)
    waiting_in(tmp_path, sent)
    with sqlite3.connect(tmp_path / "outbox.db") as connection:
        connection.execute(damage)
    connection.close()
    sink = opened(broker.port, tmp_path)
    until(lambda: counted(sink).waiting == 0)
    sink.close()
    assert broker.taken == [encode(event) for n, event in enumerate(sent) if n != 1]
    assert (counted(sink).set_aside, counted(sink).delivered) == (1, 4)
    assert "damaged" in counted(sink).reason


def test_whatever_fails_at_one_letter_the_others_go_on(
    scripted: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a library that cannot put it into a packet."""
    broker = scripted(lambda *_: TAKE)
    sent = some({4}, 30)
    waiting_in(tmp_path, sent)
    link_publish = relay_module.Link.publish

    def failing(self: relay_module.Link, topic: str, body: bytes | str, **more: bool) -> int:
        if len(body) > 5000:
            raise ZeroDivisionError("a defect")
        return link_publish(self, topic, body, **more)

    monkeypatch.setattr(relay_module.Link, "publish", failing)
    sink = opened(broker.port, tmp_path)
    until(lambda: counted(sink).waiting == 0)
    (relay,) = (stage for stage in sink.stages if stage.name == "events to mqtt")
    assert relay.failures > 0
    sink.close()
    assert list(dict.fromkeys(broker.taken)) == [
        encode(event) for n, event in enumerate(sent) if n != 4
    ]
    assert (counted(sink).set_aside, counted(sink).delivered) == (1, 29)


def test_an_outbox_that_fails_ends_no_thread(
    scripted: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = scripted(lambda *_: TAKE)
    failing = iter([True] * 3)
    claim = Outbox.claim

    def once(self: Outbox, most: int) -> object:
        if next(failing, False):
            raise ZeroDivisionError("a defect")
        return claim(self, most)

    monkeypatch.setattr(Outbox, "claim", once)
    sink = opened(broker.port, tmp_path)
    (relay,) = (stage for stage in sink.stages if stage.name == "events to mqtt")
    monkeypatch.setattr(relay._backoff, "next", lambda: 0.0)
    sent = some(set(), 10)
    publish(sink, sent)
    until(lambda: counted(sink).delivered == 10)
    assert relay.failure == "ZeroDivisionError: a defect"
    sink.close()
    assert broker.taken == [encode(event) for event in sent]


def test_set_aside_letters_go_first_when_there_is_no_room(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "o.db", 1_000_000)
    outbox.add([("t", bytes(100_000))] * 4)
    outbox.put_aside(1, "why")
    outbox.put_aside(1, "why")
    assert (outbox.waiting, outbox.set_aside) == (3, 1)
    assert outbox.add([("t", bytes(100_000))] * 6) > 0
    assert outbox.set_aside == len(outbox.aside()) == 0
    outbox.put_aside(outbox.claim(1)[0].number, "why")
    outbox.empty_aside(drop=True)
    waiting = outbox.waiting
    outbox.close()
    again = Outbox(tmp_path / "o.db", 1_000_000)
    assert (again.waiting, again.set_aside) == (waiting, 0)
    assert len(again.claim(100)) == waiting
    again.close()


@needs_mosquitto
def test_a_real_broker_with_a_limit_of_which_it_says_nothing(start: Start, tmp_path: Path) -> None:
    broker = start("allow_anonymous true", "message_size_limit 5000")
    receiver = Receiver(broker.port)
    sink = opened(broker.port, tmp_path)
    sent = some({0, 20})
    publish(sink, sent)
    until(lambda: counted(sink).set_aside == 2)
    until(lambda: counted(sink).waiting == 0)
    sink.close()
    until(lambda: len(receiver.ids) == 38)
    receiver.close()
    assert receiver.ids == [event.id for n, event in enumerate(sent) if n not in (0, 20)]
