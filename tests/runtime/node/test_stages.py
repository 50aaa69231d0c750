"""Every thread of a node is a stage: what ends or hangs is told, and goes on or ends the node."""

from __future__ import annotations

import json
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("paho.mqtt", reason="needs paho-mqtt: pip install '.[node]'")
pytest.importorskip("prometheus_client", reason="needs prometheus-client: pip install '.[node]'")

from runtime.node import Node, running
from runtime.node.events.outbox import Outbox
from runtime.node.running import run_node
from runtime.node.settings import convert
from runtime.node.stage import STEADY, Stage
from runtime.node.watchdog import AGAIN, Watchdog
from tests.runtime.node.events.scripted import TAKE, ScriptedBroker
from tests.runtime.node.parts import MODALITIES, document, events, ignore
from tests.runtime.node.waiting import until

GO_ON = [
    "bundle",
    "events to lines",
    "events to outbox",
    "events to mqtt",
    "status page",
    "metrics",
]
END = ["sources", "boxes", "engines", *(f"source {m}" for m in MODALITIES)]


def everything(bundle: Path, data: Path, folder: Path, port: int, **more: Any) -> dict[str, Any]:
    """A configuration with all that has a thread; its recording never ends."""
    given = document(bundle, data / "test", **more)
    for source in given["sources"].values():
        source["loop"] = True
    given["events"] = {
        "lines": {"path": str(folder / "events.jsonl")},
        "mqtt": {"url": f"mqtt://127.0.0.1:{port}", "outbox": str(folder / "outbox.db")},
    }
    return {**given, "status": {"port": 0}, "metrics": {"port": 0}}


class Injected(BaseException):
    """What nobody expects."""


def inject(stage: Stage) -> None:
    """Have the work of a stage fail where it next shows that it lives."""
    clock, armed = stage._clock, iter([True])

    def failing() -> float:
        if sys._getframe(1).f_code.co_name == "_beat" and next(armed, False):
            raise Injected("on purpose")
        return clock()

    stage._clock = failing
    stage._backoff.next = lambda: 0.0  # type: ignore[method-assign]


def named(node: Node, name: str) -> Stage:
    return next(stage for stage in reversed(node.stages) if stage.name == name)


def test_every_thread_is_registered_and_goes_on_after_a_failure(
    bundle_path: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = ScriptedBroker(lambda *_: TAKE)
    before = set(threading.enumerate())
    said: list[str] = []
    given = everything(bundle_path, data, tmp_path, broker.port)
    node = Node(convert(given), notify=said.append)
    node.start()
    until(lambda: broker.taken)
    registered = {stage._thread for stage in node.stages}
    mine = {thread for thread in set(threading.enumerate()) - before if thread.name[:5] == "denet"}
    others = [t.name for t in set(threading.enumerate()) - before - registered]
    assert mine <= registered
    assert all("serve" in name or "Thread-" in name for name in others), others  # the test's broker
    assert sorted(stage.name for stage in node.stages) == sorted([*GO_ON, *END, "mqtt connection"])
    for name in GO_ON:
        inject(named(node, name))
        until(lambda name=name: (node.snapshot(), f"{name}: Injected" in str(said))[1])  # type: ignore[misc]
        until(lambda name=name: named(node, name)._thread.is_alive())  # type: ignore[misc]
    # A connection is followed by another, and counts as one of what connects.
    until(lambda: all(counters.connected for counters in node._sink.snapshot()))
    relay, connection = named(node, "events to mqtt"), named(node, "mqtt connection")
    inject(connection)
    until(lambda: relay.failures == 2 and connection not in node.stages)
    node.snapshot()
    # All of it still works.
    count = len(broker.taken)
    until(lambda: len(broker.taken) > count)
    with urllib.request.urlopen(f"http://127.0.0.1:{node.metrics.port}/metrics") as answer:
        text = answer.read().decode()
    assert node._page is not None
    with urllib.request.urlopen(f"{node._page.url}snapshot") as answer:
        page = json.load(answer)
    facts = node.close()
    broker.close()
    assert node.failure == ""
    told = [e["reason"] for e in events(tmp_path / "events.jsonl") if e["notice"] == "stage failed"]
    for name in GO_ON:
        assert any(reason.startswith(f"{name}: Injected") for reason in told), name
        times = 1 + (name == "events to mqtt")
        assert f'denet_stage_failures_total{{stage="{name}"}} {times}.0' in text
        assert facts.stages[name].failures == times
        assert any(trouble.startswith(f"{name}: failed") for trouble in page["troubles"])


@pytest.mark.parametrize("name", ["sources", "boxes", "engines", f"source {MODALITIES[0]}"])
def test_a_stage_that_cannot_begin_again_ends_the_node(
    bundle_path: Path, data: Path, tmp_path: Path, name: str
) -> None:
    given = document(bundle_path, data / "test")
    for source in given["sources"].values():
        source["loop"] = True
    given["events"] = {"lines": {"path": str(tmp_path / "events.jsonl")}}
    node = Node(convert(given), notify=ignore)
    inject(named(node, name))
    run_node(node, ignore, seconds=60.0)
    assert "Injected: on purpose" in node.failure
    last = events(tmp_path / "events.jsonl")[-1]
    assert (last["notice"], last["reason"]) == ("stopped", node.failure)


def test_a_stage_that_hangs_is_shown_and_systemd_is_not_fed(
    bundle_path: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = ScriptedBroker(lambda *_: TAKE)
    hang, fed = threading.Event(), []
    sync = Outbox.sync

    def hanging(self: Outbox) -> None:
        if hang.is_set():
            free.wait(30)
        sync(self)

    free = threading.Event()
    monkeypatch.setattr(Outbox, "sync", hanging)
    monkeypatch.setattr(running, "notify_systemd", fed.append)
    monkeypatch.setattr(running, "TICK", 0.05)
    given = everything(bundle_path, data, tmp_path, broker.port, watchdog=0.8)
    node = Node(convert(given), notify=ignore)
    shown: list[str] = []

    def look(snapshot: Any) -> None:
        if fed.count("WATCHDOG=1") > 3:
            hang.set()
        if snapshot.stages["events to mqtt"].stuck:
            assert snapshot.stuck
            shown.append(str(fed.count("WATCHDOG=1")))
            if len(shown) == 5:
                free.set()
                node.stop(now=True)

    run_node(node, look, seconds=60.0)
    broker.close()
    assert len(shown) >= 5
    assert len(set(shown[:5])) == 1, "systemd was told that all is well"
    told = [e["reason"] for e in events(tmp_path / "events.jsonl") if e["notice"] == "stage stuck"]
    assert any(reason.startswith("events to mqtt: no progress") for reason in told)


def once_by_once(now: list[float]) -> tuple[Stage, Watchdog, list[str], Callable[[], None]]:
    """A stage whose work fails each time it is begun, and begins when the test says so."""
    said: list[str] = []
    turn, done = threading.Semaphore(0), threading.Semaphore(0)

    def body(beat: Callable[[], None]) -> None:
        turn.acquire()
        beat()
        raise ValueError("again")

    stage = Stage("work", body, clock=lambda: now[0])

    def next_wait() -> float:
        done.release()
        return 0.0

    stage._backoff.next = next_wait  # type: ignore[method-assign]
    watchdog = Watchdog(
        lambda: [stage], 10.0, lambda kind, text: said.append(f"{kind}: {text}"), lambda: now[0]
    )

    def step() -> None:
        turn.release()
        assert done.acquire(timeout=10)

    return stage, watchdog, said, step


def test_work_that_fails_again_and_again_is_no_progress() -> None:
    now = [0.0]
    stage, watchdog, said, step = once_by_once(now)
    stage.start()
    for second in range(0, 16, 2):
        now[0] = float(second)
        step()
        watchdog.look()
        assert watchdog.stuck == (second > 10), second
    assert [line.split(":")[0] for line in said] == ["stage failed", "stage stuck"]
    now[0] += AGAIN
    step()
    watchdog.look()
    assert [line.split(":")[0] for line in said[2:]] == ["stage failed", "stage goes on"]
    stage.stop()
    assert stage.failures == 9
    assert STEADY > 2


def test_a_thread_that_is_gone_without_a_word_is_noticed() -> None:
    """As when there is no memory for more than its end."""
    now = [0.0]

    def failed(_name: str, _error: BaseException) -> None:
        raise MemoryError

    def body(_beat: Callable[[], None]) -> None:
        raise ValueError

    threading.excepthook, hook = lambda _: None, threading.excepthook
    try:
        stage = Stage("work", body, failed, clock=lambda: now[0])
        stage.start()
        assert stage.join(10)
    finally:
        threading.excepthook = hook
    now[0] = 11.0
    said: list[str] = []
    watchdog = Watchdog(lambda: [stage], 10.0, lambda kind, text: said.append(kind))
    watchdog.look()
    assert watchdog.stuck
    assert "stage stuck" in said


def test_a_recording_that_waits_for_its_next_frame_lives() -> None:
    from runtime.node.sources.feed import _Stop

    beats: list[float] = []
    stop = _Stop()
    stop.beat = lambda: beats.append(time.monotonic())
    assert not stop.wait(0.6)
    assert len(beats) >= 2
    stop.set()
    assert stop.wait()
