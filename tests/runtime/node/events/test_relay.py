"""Events to a real mosquitto that is killed, hangs, and comes back: whole, and without a gap."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from queue import SimpleQueue

import pytest

pytest.importorskip("paho.mqtt", reason="needs paho-mqtt: pip install '.[node]'")

from runtime.node.events import (
    EventIds,
)
from runtime.node.events.broker import NodeBroker as Address
from runtime.node.events.link import Link, Signal
from tests.paths import ROOT
from tests.runtime.node.broker import Broker, Receiver, free_port
from tests.runtime.node.events.mqtt_parts import (
    CHILD,
    NODE,
    Start,
    counted,
    events,
    needs_mosquitto,
    opened,
    publish,
)
from tests.runtime.node.waiting import until


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


@needs_mosquitto
@pytest.mark.parametrize("needed", [False, True])
def test_a_broker_that_has_nobody_for_events(broker: Broker, tmp_path: Path, needed: bool) -> None:
    """It confirms what it throws away: where a receiver is needed, events wait for one."""
    said: list[str] = []
    sink = opened(broker.port, tmp_path, said, needs_receiver=needed)
    sent = events(5)
    publish(sink, sent)
    if not needed:
        until(lambda: counted(sink).delivered == 5)
        sink.close()
        assert not any("receiver" in line for line in said)
        return
    until(lambda: any("has no receiver of events" in line for line in said))
    assert counted(sink).delivered == 0
    receiver = Receiver(broker.port)
    until(lambda: len(receiver.events) == 5)
    until(lambda: counted(sink).delivered == 5)
    sink.close()
    receiver.close()
    assert receiver.events == sent
