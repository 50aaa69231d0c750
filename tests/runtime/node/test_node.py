"""The camera node's loop: queues that lose nothing unreported, batches under a deadline, stages
that fail, and whole runs of recordings with faults whose truth is known."""

from __future__ import annotations

import gc
import inspect
import itertools
import json
import os
import signal
import socket
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import runtime.node
from denet.graph import RGB_NIR_TIR, Graph, State
from runtime.gallery import Enrolment, GalleryError, Space, open_gallery
from runtime.node import Node, NodeError, NodeSettings, NodeSnapshot, embedder, memory
from runtime.node.announcer import Announcer, Sighting
from runtime.node.backlog import OVERFLOW, STOPPED, Account, Backlog
from runtime.node.cutter import NO_BOXES, Cutter
from runtime.node.embedder import NOT_EMBEDDED, Embedder
from runtime.node.events import Box
from runtime.node.faults import FaultSettings, Truth
from runtime.node.health import Assessment, Verdict
from runtime.node.intake import NOT_HEALTHY
from runtime.node.latency import BOUNDS, Latencies
from runtime.node.metrics import Metrics
from runtime.node.printer import DEPTH, LinePrinter
from runtime.node.running import Signals, run_node
from runtime.node.serving import Serving
from runtime.node.settings import BatchSettings, MetricsSettings, convert
from runtime.node.sources import Frame
from runtime.node.stage import Stage
from runtime.node.stage_items import Crop, Moment
from runtime.node.watchdog import Watchdog, notify_systemd
from runtime.runtime import Runtime
from runtime.samples import find_samples
from tests.command import denet
from tests.nodes import WELL, Remembered, config_file, crop, document, settings
from tests.paths import DOCS

MODALITIES, STATES = RGB_NIR_TIR.modalities, RGB_NIR_TIR.states


def ignore(*_: object) -> None:
    pass


# Queues


OPERATION = st.sampled_from(["put", "take", "leave", "drop", "refuse", "clear"])


@given(st.integers(1, 5), st.lists(OPERATION, max_size=60))
def test_a_backlog_accounts_for_all_at_every_moment(room: int, operations: list[str]) -> None:
    backlog: Backlog[int] = Backlog(room)
    # The same in plain words.
    waiting: list[int] = []
    taken = left = entered = 0
    dropped: Counter[str] = Counter()
    closed = False
    for number, what in enumerate(operations):
        if what == "put":
            entered += 1
            backlog.put(number)
            if closed:
                dropped[STOPPED] += 1
            else:
                waiting.append(number)
                if len(waiting) > room:
                    waiting.pop(0)
                    dropped[OVERFLOW] += 1
        elif what == "refuse":
            entered += 1
            backlog.refuse("why")
            dropped["why"] += 1
        elif what == "take":
            found = backlog.take(2, 0.0)
            assert found == (waiting[:2] or (None if closed else []))
            taken += len(waiting[:2])
            waiting = waiting[2:]
        elif what == "leave" and taken:
            backlog.leave()
            taken, left = taken - 1, left + 1
        elif what == "drop" and taken:
            backlog.drop("later")
            taken -= 1
            dropped["later"] += 1
        elif what == "clear":
            backlog.clear()
            closed = True
            dropped[STOPPED] += len(waiting)
            waiting = []
        account = backlog.snapshot()
        assert account == Account(entered, left, +dropped, len(waiting) + taken)
        assert account.balanced


def test_a_backlog_balances_while_threads_are_at_work() -> None:
    backlog: Backlog[int] = Backlog(3)
    seen: list[int] = []

    def consume() -> None:
        while (items := backlog.take(2, 0.01)) is not None:
            seen.extend(items)
            backlog.leave(len(items))

    consumer = threading.Thread(target=consume)
    consumer.start()
    for number in range(3000):
        backlog.put(number)
        if number % 7 == 0:
            assert backlog.snapshot().balanced
    backlog.close()
    consumer.join()
    account = backlog.snapshot()
    assert account.held == 0
    assert account.balanced
    assert account.left == len(seen)
    assert seen == sorted(seen)
    assert seen[-1] == 2999  # the newest are never pushed out


def test_what_is_under_way_at_the_end_waits_for_room() -> None:
    backlog: Backlog[int] = Backlog(1)
    backlog.put(1)
    putter = threading.Thread(target=backlog.put, args=(2, 30.0))
    putter.start()
    for _ in range(100):
        assert backlog.snapshot() == Account(1, 0, {}, 1)
    assert backlog.take(1, 5.0) == [1]
    putter.join()
    assert backlog.snapshot() == Account(2, 0, {}, 2)
    backlog.put(3, patience=0.001)
    assert backlog.snapshot() == Account(3, 0, {OVERFLOW: 1}, 2)


# Batches


class Clock:
    """A clock that goes on only when something waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(embedder, "time", SimpleNamespace(monotonic=lambda: self.now))

    def __call__(self) -> float:
        return self.now


class Embeds:
    """A runtime that takes as long as it is told, and remembers its batches."""

    max_batch = 16
    dim = 4
    graph = RGB_NIR_TIR

    def __init__(self, clock: Callable[[float], None] = ignore) -> None:
        self.work = clock
        self.batches: list[list[State]] = []
        self.fail = ""
        self.closed = False
        self.forms = Counter[str]()
        self.bundle = SimpleNamespace(
            root="b",
            manifest=SimpleNamespace(
                head=SimpleNamespace(dim=4), checkpoint_sha256="c", projection_digest=""
            ),
        )
        self.backend = self.variant = "fake"

    def embed_batch(self, samples: list[Any]) -> Any:
        assert not self.closed
        if self.fail:
            raise RuntimeError(self.fail)
        self.batches.append([RGB_NIR_TIR.state(sample) for sample in samples])
        self.work(len(samples))
        return np.tile(np.array([1, 0, 0, 0], np.float32), (len(samples), 1))

    def close(self) -> None:
        assert not self.closed
        self.closed = True


def made(
    runtime: Embeds, backlog: Backlog[Crop], sink: Remembered, said: list[str], **batches: Any
) -> Embedder:
    serving = Serving(runtime, "d" * 64, None, "")
    announcer = Announcer("n", sink, "float16", ignore)
    return Embedder(serving, backlog, BatchSettings(**batches), announcer, said.append, ignore)


def test_a_batch_waits_only_as_long_as_its_oldest_crop_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    backlog: Backlog[Crop] = Backlog(100)
    runtime = Embeds(lambda _n: setattr(clock, "now", clock.now + 0.03))
    stage = made(runtime, backlog, Remembered(), [], largest=4, deadline=0.1)
    assert stage._patience(crop(99.99), 1) == pytest.approx(0.09)
    backlog.put(crop(99.99))
    backlog.close()
    stage.run(ignore)
    # Now it is known how long a batch takes.
    assert stage._patience(crop(clock.now), 1) == pytest.approx(0.07)
    assert stage._patience(crop(clock.now - 0.2), 1) < 0


def test_gathering_ends_by_number_by_time_and_at_the_end() -> None:
    now = 0.0
    backlog: Backlog[int] = Backlog(10, lambda: now)
    asked: list[tuple[int, int]] = []

    def patience(oldest: int, count: int) -> float:
        asked.append((oldest, count))
        return -1.0 if len(asked) > 1 else 0.01

    backlog.put(1)
    backlog.put(2)
    threading.Timer(0.02, backlog.close).start()
    assert backlog.take(4, 5.0, patience) == [1, 2]
    assert asked[0] == (1, 2)
    backlog = Backlog(10)
    for number in range(5):
        backlog.put(number)
    assert backlog.take(4, 5.0, lambda *_: 1e9) == [0, 1, 2, 3]
    assert backlog.take(4, 0.0, lambda *_: 1e9) == []  # it waits for others
    backlog.close()
    assert backlog.take(4, 5.0, lambda *_: 1e9) == [4]
    assert backlog.take(4, 5.0) is None


def test_a_batch_mixes_states_and_tells_of_each(runtime: Runtime) -> None:
    backlog: Backlog[Crop] = Backlog(100)
    sink, said = Remembered(), []
    serving = Serving(runtime, "d" * 64, None, "")
    announcer = Announcer("n", sink, "float32", ignore)
    seen: list[Sighting] = []
    settings_ = BatchSettings(largest=16, deadline=0.1)
    stage = Embedder(serving, backlog, settings_, announcer, said.append, seen.append)
    crops = [crop(float(i), state.available) for i, state in enumerate(STATES)]
    for each in crops:
        backlog.put(each)
    backlog.close()
    stage.run(ignore)
    assert (stage.batches, said) == (1, [])
    for each, event in zip(crops, sink.events, strict=True):
        state = RGB_NIR_TIR.state(each.images)
        expected = runtime.embed(each.images)
        assert event.embedding is not None
        assert event.embedding.vector() == pytest.approx(expected, abs=1e-5)
        assert event.state == state.name
        assert list(event.precisions) == list(RGB_NIR_TIR.plan(state).engines)
        assert set(event.precisions.values()) == {"fp32"}
        assert event.checkpoint == runtime.bundle.manifest.checkpoint_sha256
        assert event.bundle == "d" * 64
        assert {m: c.healthy for m, c in event.verdicts.items()} == dict.fromkeys(MODALITIES, True)
    assert [s.state for s in seen] == list(STATES)
    assert len({event.id for event in sink.events}) == len(STATES)


def test_engines_that_fail_cost_their_batch_and_are_no_progress() -> None:
    backlog: Backlog[Crop] = Backlog(100)
    runtime, said, beats = Embeds(), [], []
    runtime.fail = "the device is gone"
    stage = made(runtime, backlog, Remembered(), said, largest=2)
    for i in range(4):
        backlog.put(crop(float(i)))
    backlog.close()
    stage.run(lambda: beats.append(1))
    assert backlog.snapshot() == Account(4, 0, {NOT_EMBEDDED: 4}, 0)
    assert said == ["embedding fails: RuntimeError: the device is gone"]
    assert len(beats) == 1


def test_a_model_of_two_modalities_has_their_states() -> None:
    backlog: Backlog[Crop] = Backlog(100)
    runtime, sink = Embeds(), Remembered()
    runtime.graph = Graph(("tir", "rgb"))
    runtime.forms.update(dict.fromkeys(runtime.graph.engines, 1))
    stage = made(runtime, backlog, sink, [], largest=3)
    assert list(stage.serving.precisions) == list(runtime.graph.states)
    for i, state in enumerate(runtime.graph.states):
        backlog.put(crop(float(i), state.available[::-1]))
    backlog.close()
    stage.run(ignore)
    assert [event.state for event in sink.events] == ["tir+rgb", "tir", "rgb"]
    assert set(sink.events[0].precisions) == {
        "branch_tir",
        "branch_rgb",
        "cmft_tir2rgb",
        "dem_tir2rgb",
        "dem_rgb2tir",
    }


def test_a_gallery_that_cannot_be_read_costs_the_match_and_not_the_event() -> None:
    backlog: Backlog[Crop] = Backlog(100)
    sink, said, broken = Remembered(), [], [True, True, False]

    def matcher(_embeddings: object, states: list[State]) -> list[None]:
        if broken.pop(0):
            raise GalleryError("g.db: the disk is gone")
        return [None] * len(states)

    stage = made(Embeds(), backlog, sink, said, largest=1)
    stage.serving = replace(stage.serving, matcher=matcher)
    unmatched = []
    for i in range(3):
        backlog.put(crop(float(i)))
        taken = backlog.take(1, 0.0)
        assert taken is not None
        stage._embed(taken)
        unmatched.append(stage.unmatched)
    assert len(sink.events) == 3
    assert unmatched == ["g.db: the disk is gone"] * 2 + [""]
    assert said == ["matching fails: g.db: the disk is gone", "matching works again"]


def test_a_bundle_that_comes_too_late_or_too_soon_is_let_go() -> None:
    def offered() -> tuple[Serving, Embeds]:
        runtime = Embeds()
        return Serving(runtime, "e" * 64, None, ""), runtime

    first = Embeds()
    sink = Remembered()
    stage = made(first, Backlog(1), sink, [])
    (one, unwanted), (two, wanted), (three, unused), (four, late) = (offered() for _ in range(4))
    stage.offer(one)
    stage.offer(two)
    stage._take_over()
    assert (first.closed, unwanted.closed, wanted.closed) == (True, True, False)
    assert len(sink.notices()) == 1
    stage.offer(three)
    stage.close()
    stage.offer(four)
    assert (wanted.closed, unused.closed, late.closed) == (True, True, True)


def test_latencies_are_counted() -> None:
    latencies = Latencies()
    assert latencies.snapshot().p50 is None
    values = [0.005, 0.01, 0.03, 0.4, 7.0]
    for value in values:
        latencies.add(value)
    told = latencies.snapshot()
    assert told.below == tuple(sum(v <= bound for v in values) for bound in BOUNDS)
    assert (told.count, told.p50) == (5, 0.03)
    assert told.total == pytest.approx(sum(values))


# Stages


def test_boxes_that_cannot_be_found_are_counted_and_said_once() -> None:
    moments: Backlog[Moment] = Backlog(100)
    found: Backlog[Crop] = Backlog(100)
    said: list[str] = []
    frames = {"rgb": Frame("rgb", 1.0, np.zeros((10, 10), np.uint8), 0)}
    for i in range(5):
        moments.put(Moment(float(i), frames, WELL))

    def finder(_frames: object, at: float) -> list[Box]:
        if at in (1.0, 2.0):
            raise KeyError("model")
        return [Box(0, 0, 5, 5), Box(20, 20, 25, 25)]

    moments.close()
    Cutter(moments, found, finder, None, said.append, 1.0).run(ignore)
    assert moments.snapshot() == Account(5, 3, {NO_BOXES: 2}, 0)
    assert found.snapshot() == Account(6, 0, {"outside": 3}, 3)
    assert found.closed
    assert said == ["no boxes: KeyError: 'model'", "boxes are found again"]


def test_a_stage_that_fails_or_is_stuck_is_noticed() -> None:
    now = 0.0
    failures: list[tuple[str, str]] = []
    go, on = threading.Event(), threading.Event()

    def body(beat: Callable[[], None]) -> None:
        beat()
        on.set()
        go.wait(5.0)
        raise ValueError("a defect")

    stage = Stage("boxes", body, lambda s, e: failures.append((s, str(e))), lambda: now)
    said: list[str] = []
    watchdog = Watchdog([stage], 10.0, said.append)
    stage.start()
    on.wait(5.0)
    watchdog.look()
    assert not watchdog.stuck
    now = 12.0
    watchdog.look()
    watchdog.look()
    assert watchdog.stuck
    assert said == ["boxes: no progress for 12 s"]
    go.set()
    assert stage.join(5.0)
    assert failures == [("boxes", "a defect")]
    watchdog.look()
    assert said[1:] == ["boxes: goes on again"]


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told_by_a_datagram(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify_systemd("READY=1")
    name = f"\0denet-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(name)
        receiver.settimeout(5.0)
        monkeypatch.setenv("NOTIFY_SOCKET", name.replace("\0", "@"))
        assert notify_systemd("WATCHDOG=1")
        assert receiver.recv(100) == b"WATCHDOG=1"
    if not abstract:
        (tmp_path / "notify").unlink()
    assert not notify_systemd("WATCHDOG=1")


def test_a_terminal_that_stands_still_keeps_nobody_waiting() -> None:
    go, told = threading.Event(), []

    def tell(line: str) -> None:
        go.wait(10.0)
        told.append(line)

    printer = LinePrinter(tell)
    for number in range(DEPTH + 10):
        printer(str(number))
    go.set()
    printer.close(10.0)
    assert told[-1] == str(DEPTH + 9)
    assert DEPTH <= len(told) <= DEPTH + 1


# Changes of the sensors


def test_what_changes_is_told_once() -> None:
    sink, said = Remembered(), []
    announcer = Announcer("gate", sink, "float16", said.append)

    def judged(at: float, *sick: str) -> None:
        verdicts = {
            m: Verdict(m, "black" if m in sick else None, "dark" if m in sick else "")
            for m in MODALITIES
        }
        well = [m for m in MODALITIES if m not in sick]
        announcer.judged(Assessment(at, verdicts, RGB_NIR_TIR.state(well) if well else None))

    for at, sick in enumerate(
        [(), ("nir",), ("nir",), ("nir", "rgb", "tir"), MODALITIES, ("nir",), ()]
    ):
        judged(time.monotonic() + at, *sick)
    assert [kind for kind, _ in sink.notices()] == [
        "sensor lost",
        "sensor lost",
        "sensor lost",
        "nothing healthy",
        "sensor back",
        "sensor back",
        "healthy again",
        "sensor back",
    ]
    assert sink.notices()[0] == ("sensor lost", "nir: black: dark")
    assert [e.state for e in sink.events][:4] == ["rgb+tir", None, None, None]
    assert said[0] == "sensor lost: nir: black: dark"
    assert abs(sink.events[0].time - time.time()) < 60


# Whole runs


def run(
    settings_: NodeSettings, look: Callable[[NodeSnapshot], None] = ignore, **more: Any
) -> tuple[NodeSnapshot, list[Any]]:
    """Run a recording to its end; facts are looked at as often as can be."""
    said: list[str] = []
    node = Node(settings_, notify=said.append, **more)
    node.start()
    while not node.wait(0.002):
        look(node.snapshot())
    facts = node.close()
    assert node.failure == ""
    return facts, said


def balanced(facts: NodeSnapshot) -> None:
    accounts = [*facts.frames.values(), facts.triplets, facts.crops]
    assert all(account.balanced for account in accounts), facts


def events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_frame_of_a_recording_is_accounted_for(
    bundle_path: Path, data: Path, tmp_path: Path
) -> None:
    lines = tmp_path / "events.jsonl"
    made = settings(bundle_path, data / "test", events={"lines": {"path": str(lines)}})
    truths: list[Truth] = []
    looked: list[NodeSnapshot] = []

    def look(facts: NodeSnapshot) -> None:
        looked.append(facts)
        balanced(facts)

    faults = FaultSettings(seed=1, every=6, longest=8)
    facts, _said = run(made, look, faults=faults, notify_truth=truths.append)
    balanced(facts)
    assert len(looked) > 3
    for m in MODALITIES:
        delivered = [t for t in truths if t.modality == m and t.kind != "absent"]
        account = facts.frames[m]
        assert account.entered == len(delivered)
        assert account.held == 0
    assert facts.triplets.held == facts.crops.held == 0
    assert facts.crops.entered == facts.triplets.left  # one crop for each triplet
    found = events(lines)
    assert len([e for e in found if e["kind"] == "embedding"]) == facts.crops.left
    assert len({e["id"] for e in found}) == len(found)
    assert (found[0]["notice"], found[-1]["notice"]) == ("started", "stopped")
    (counters,) = facts.events
    assert (counters.published, counters.delivered) == (len(found), len(found))
    assert {f"crop: {why}" for why in facts.crops.dropped} <= set(facts.dropped)
    assert json.loads(json.dumps(facts.facts()))["crops"]["left"] == facts.crops.left
    assert str(facts.crops.left) in "\n".join(facts.summary())


def test_a_slow_finder_costs_old_moments_and_no_frame_is_lost_unreported(
    bundle_path: Path, data: Path
) -> None:
    made = settings(bundle_path, data / "test")
    overflown = threading.Event()

    def slow(_frames: object, _time: float) -> list[tuple[int, int, int, int]]:
        overflown.wait(10.0)
        return [(0, 0, 32, 64), (500, 0, 501, 1)]

    def look(facts: NodeSnapshot) -> None:
        balanced(facts)
        if facts.triplets.dropped.get(OVERFLOW):
            overflown.set()

    facts, _said = run(made, look, persons=slow)
    balanced(facts)
    assert facts.triplets.dropped[OVERFLOW] > 0
    assert facts.crops.dropped["outside"] == facts.triplets.left
    assert facts.crops.left + facts.crops.dropped.get(OVERFLOW, 0) == facts.triplets.left


def test_when_nothing_is_healthy_the_node_says_so_and_waits(
    bundle_path: Path, data: Path, tmp_path: Path
) -> None:
    lines = tmp_path / "events.jsonl"
    document_ = {"events": {"lines": {"path": str(lines)}}}
    made = settings(bundle_path, data / "test", **document_)
    faults = FaultSettings(every=1, shortest=1000, longest=1000, kinds=("black",))
    facts, said = run(made, faults=faults)
    assert facts.state is None
    assert facts.triplets.dropped[NOT_HEALTHY] == facts.triplets.entered - facts.triplets.left > 0
    assert "nothing healthy" in [e["notice"] for e in events(lines)]
    assert "nothing healthy" in facts.line(None)
    assert any(line.startswith("nothing healthy: rgb: ") for line in said)


def test_whom_the_gallery_knows_is_told(
    bundle_path: Path, data: Path, runtime: Runtime, tmp_path: Path
) -> None:
    samples = find_samples(data / "test")
    space = Space.of(runtime.bundle.manifest)
    with open_gallery(str(tmp_path / "g.db"), create=True) as gallery:
        gallery.enrol(
            space,
            [Enrolment(s.name.split("_")[0], s.state, runtime.embed(s.files)) for s in samples[:4]],
        )
    lines = tmp_path / "events.jsonl"
    made = settings(
        bundle_path,
        data / "test",
        gallery={"url": f"file:{tmp_path}/g.db", "threshold": 0.9999},
        events={"lines": {"path": str(lines)}},
    )
    facts, _said = run(made)
    found = [e for e in events(lines) if e["kind"] == "embedding"]
    matches = [e["match"] for e in found if e["match"]]
    assert facts.matched == len(matches) >= 1
    assert all(m["cosine"] >= 0.9999 and m["false_match_rate"] is None for m in matches)
    assert {m["identity"] for m in matches} <= {s.name.split("_")[0] for s in samples[:4]}


def test_metrics_and_page_say_what_the_facts_say(
    bundle_path: Path, data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("prometheus_client")
    made = settings(
        bundle_path,
        data / "test",
        metrics={"port": 0},
        status={"port": 0},
        events={"lines": {"path": str(tmp_path / "events.jsonl")}},
    )
    node = Node(made, notify=ignore)
    node.start()
    while not node.wait(0.01):
        node.snapshot()
    facts = node.snapshot()
    with urllib.request.urlopen(f"http://127.0.0.1:{node.metrics.port}/metrics") as answer:
        text = answer.read().decode()
    assert node._page is not None
    shown = node._page.snapshot
    with pytest.raises(NodeError, match="already in use"):
        Metrics(MetricsSettings(port=node.metrics.port), node.snapshot)
    node.close()
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[:1] != "#")
    for m in MODALITIES:
        name = f'denet_entered_total{{modality="{m}",what="frame"}}'
        assert float(lines[name]) == facts.frames[m].entered
        assert float(lines[f'denet_healthy{{modality="{m}"}}']) in (0, 1)
    assert float(lines['denet_left_total{modality="",what="crop"}']) == facts.crops.left
    assert float(lines["denet_latency_seconds_count"]) == facts.crops.left
    assert float(lines['denet_latency_seconds_bucket{le="+Inf"}']) == facts.crops.left
    published = float(lines['denet_events_published_total{sink="lines"}'])
    assert published >= facts.crops.left + 1
    assert shown is not None
    assert shown.counters["embeddings"] == facts.crops.left
    assert set(shown.frames) == set(MODALITIES)
    assert shown.state is not None
    assert list(shown.plan) == list(RGB_NIR_TIR.plan(shown.state).engines)


def test_a_line_tells_what_happened_since_the_last() -> None:
    none = Latencies().snapshot()
    some = replace(none, p50=0.02, p99=0.05)
    dark = Assessment(0.0, {"rgb": Verdict("rgb", "black", "dark")}, None)
    before = NodeSnapshot(
        time=0,
        running=1,
        assessment=None,
        frames={},
        triplets=Account(10, 10),
        crops=Account(10, 10),
        events=[],
        batches=1,
        matched=0,
        latency=none,
        bundle="b",
        unmatched="",
        swaps=0,
        refused=0,
        stuck=False,
    )
    now = replace(
        before,
        running=3,
        assessment=dark,
        triplets=Account(60, 56, {"overflow": 4}),
        crops=Account(40, 40),
        latency=some,
        unmatched="another model",
        stuck=True,
    )
    clock, *parts = now.line(before).split(" | ")
    assert clock.count(":") == 2
    assert parts == [
        "nothing healthy",
        "25.0 triplets/s",
        "15.0 embeddings/s",
        "p50 20 ms, p99 50",
        "dropped triplet: overflow 4",
        "no matching",
        "stuck",
        "rgb: dark",
    ]


# The loop of the documentation


def test_the_loop_of_the_documentation_has_a_watchdog(
    bundle_path: Path,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = (DOCS / "node.md").read_text()
    code = page.partition("**In an application**:\n\n```python\n")[2].partition("```")[0]
    loop = code[code.index("node.start()") :]
    for text in (runtime.node.__doc__, inspect.getdoc(Node)):
        assert text is not None
        assert loop in text + "\n"

    def stuck(_frames: object, _time: float) -> list[tuple[int, int, int, int]]:
        time.sleep(0.0 if calls else 2.5)
        calls.append(1)
        return []

    calls: list[int] = []
    lines = tmp_path / "events.jsonl"
    config_file(tmp_path, bundle_path, data / "test", lines).write_text(
        "watchdog = 0.1\n" + (tmp_path / "node.toml").read_text()
    )
    monkeypatch.chdir(tmp_path)
    exec(code, {"persons": stuck})
    told = capsys.readouterr().out
    assert "boxes: no progress for " in told
    assert "'stuck': True" in told
    assert told.splitlines()[-1] == "stopped: it was asked to"


# Signals


def endless(bundle_path: Path, data: Path) -> NodeSettings:
    looping = document(bundle_path, data / "test")
    for source in looping["sources"].values():
        source["loop"] = True
    return convert(looping)


def test_a_node_that_never_started_lets_go_of_everything(bundle_path: Path, data: Path) -> None:
    with Node(settings(bundle_path, data / "test"), notify=ignore) as node:
        pass
    assert node.snapshot().triplets == Account()


def test_a_defect_ends_the_node_and_is_told(
    bundle_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(*_: object) -> None:
        raise ZeroDivisionError("a defect")

    node = Node(endless(bundle_path, data), notify=ignore)
    monkeypatch.setattr(node._intake, "_judge", defect)
    facts = run_node(node, ignore)
    assert node.failure == "sources: ZeroDivisionError: a defect"
    assert facts.crops.held == 0


def test_memory_is_given_back_from_time_to_time(
    bundle_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.node.running.TIDYING", 0.1)
    given: list[int] = []
    monkeypatch.setattr(memory, "_trim", given.append)
    node = Node(endless(bundle_path, data), notify=ignore)
    found: list[int] = []

    def watch(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            found.append(info["generation"])

    enabled = gc.isenabled()
    gc.disable()
    gc.callbacks.append(watch)
    try:
        run_node(node, ignore, seconds=1.0)
    finally:
        gc.callbacks.remove(watch)
        if enabled:
            gc.enable()
    assert 2 <= found.count(2) == len(given) <= 11


def test_a_report_that_nobody_reads_ends_the_node(bundle_path: Path, data: Path) -> None:
    def broken(_facts: NodeSnapshot) -> None:
        raise BrokenPipeError

    node = Node(endless(bundle_path, data), notify=ignore)
    with pytest.raises(BrokenPipeError):
        run_node(node, broken)
    assert node.wait(0.0)


@pytest.mark.parametrize("times", [1, 2])
def test_a_signal_ends_a_node_in_order_and_two_at_once(
    bundle_path: Path, data: Path, times: int
) -> None:
    said: list[str] = []
    node = Node(endless(bundle_path, data), notify=said.append)
    signals = Signals()
    reports: Iterator[int] = itertools.count()

    def report(_facts: NodeSnapshot) -> None:
        if next(reports) == 0:
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with signals.caught():
        facts = run_node(node, report, signals=signals)
    assert signal.getsignal(signal.SIGTERM) == before
    assert signals.stops == times
    balanced(facts)
    assert facts.crops.held == facts.triplets.held == 0
    assert all(account.held == 0 for account in facts.frames.values())
    assert said[-1].startswith("stopped: ")


def test_a_command_line_runs_for_a_while(
    bundle_path: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    monkeypatch.setattr(memory, "_mallopt", lambda *wanted: asked.append(wanted))
    config = config_file(tmp_path, bundle_path, data / "test", tmp_path / "events.jsonl")
    done = denet("node", "run", config, "--json", "--for", "0.3", "--inject", "every=3;kinds=black")
    assert done.exit_code == 0, done.output
    assert asked == [(memory.ARENA_MAX, 1)]
    facts = json.loads(done.stdout.splitlines()[-1])
    assert facts["crops"]["entered"] == facts["triplets"]["left"]
    assert facts["frames"]["rgb"]["held"] == 0
    text = denet("node", "run", config, "--for", "0.2")
    assert "rgb frames: " in text.stdout
    assert "stopped: " in text.stderr
