"""Events: their form, the file of lines, and the outbox, on disks that are full or fail."""

from __future__ import annotations

import base64
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.node.events import (
    Box,
    Condition,
    Embedding,
    Event,
    EventError,
    EventIds,
    EventMatch,
    EventSettings,
    LinesSettings,
    open_sinks,
)
from runtime.node.events import event_queue as queue_module
from runtime.node.events.counter import EventCounter
from runtime.node.events.event_queue import DEPTH, EventQueue
from runtime.node.events.lines import LinesSink
from runtime.node.events.outbox import Outbox
from runtime.node.health import Verdict
from tests.disk import files_of_at_most
from tests.paths import ROOT

MB = 1_000_000


def event(number: int, size: int = 0) -> Event:
    return Event(
        id=f"gate-1-{number}", node="gate", time=float(number), kind="notice", reason="x" * size
    )


def lines(path: Path) -> list[dict[str, Any]]:
    text = path.read_bytes()
    assert not text or text.endswith(b"\n")
    return [json.loads(line) for line in text.splitlines()]


# The event


def test_an_event_is_plain_json() -> None:
    vector = np.random.default_rng(0).standard_normal(6).astype(np.float32)
    made = Event(
        id="a-1",
        node="a",
        time=1.5,
        kind="embedding",
        state="rgb",
        verdicts={
            "rgb": Condition.of(Verdict("rgb", None, "")),
            "tir": Condition.of(Verdict("tir", "frozen", "repeats for 5 frames")),
        },
        box=Box(1, 2, 3, 4),
        embedding=Embedding.of(vector, "float16"),
        match=EventMatch(identity="alice", score=3.0, cosine=0.9, false_match_rate=1e-3),
        checkpoint="c" * 64,
        precisions={"branch_rgb": "int8"},
    )
    text = msgspec.json.encode(made)
    facts = json.loads(text)
    assert facts["verdicts"]["tir"] == {
        "healthy": False,
        "fault": "frozen",
        "reason": "repeats for 5 frames",
    }
    assert facts["box"] == {"left": 1, "top": 2, "right": 3, "bottom": 4}
    # As a receiver in another language reads it.
    numbers = np.frombuffer(base64.b64decode(facts["embedding"]["data"]), "<f2")
    np.testing.assert_array_equal(numbers, vector.astype(np.float16))
    assert msgspec.json.decode(text, type=Event) == made


@pytest.mark.parametrize(("kind", "bytes_each"), [("float16", 2), ("float32", 4)])
def test_an_embedding_comes_back(kind: Any, bytes_each: int) -> None:
    vector = np.random.default_rng(1).standard_normal(512).astype(np.float32)
    vector /= np.linalg.norm(vector)
    packed = Embedding.of(vector, kind)
    assert (packed.dim, packed.type, len(packed.data)) == (512, kind, 512 * bytes_each)
    assert abs(float(packed.vector() @ vector) - 1) < 1e-3
    if kind == "float32":
        np.testing.assert_array_equal(packed.vector(), vector)


def test_ids_differ_within_a_run_and_between_runs() -> None:
    runs = [EventIds("gate") for _ in range(50)]
    ids = [run.next() for run in runs for _ in range(20)]
    assert len(set(ids)) == 1000
    assert all(name.startswith("gate-") for name in ids)


def test_the_line_in_the_documentation_is_an_event() -> None:
    text = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
    [example] = re.findall(r"^    (\{.*\})$", text, re.MULTILINE)
    decoded = msgspec.json.decode(example, type=Event)
    # Nothing is left out, and nothing is in it that is no field.
    assert json.loads(msgspec.json.encode(decoded)) == json.loads(example)
    assert decoded.embedding is not None
    assert len(decoded.embedding.vector()) == decoded.embedding.dim


# Lines


def test_lines_arrive_in_order(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    sink = open_sinks(EventSettings(lines=LinesSettings(path=str(path))), "gate")
    for number in range(200):
        sink.publish(event(number))
    sink.close()
    assert [line["id"] for line in lines(path)] == [f"gate-1-{n}" for n in range(200)]
    [counters] = sink.snapshot()
    assert (counters.published, counters.delivered, counters.waiting) == (200, 200, 0)
    assert path.stat().st_mode & 0o077 == 0
    sink.publish(event(200))  # never raises
    assert sink.snapshot()[0].dropped == {"closed": 1}


def test_files_rotate_and_lose_no_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    sink = LinesSink(LinesSettings(path=str(path), max_bytes=MB, keep=2), print)
    for number in range(40):
        sink.publish(event(number, 100_000))
    sink.close()
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["events.jsonl", "events.jsonl.1", "events.jsonl.2"]
    assert all(file.stat().st_size <= MB for file in files)
    kept = [line["time"] for file in (files[2], files[1], files[0]) for line in lines(file)]
    assert kept == list(range(40 - len(kept), 40))
    assert len(kept) > 18


def test_what_was_computed_with_numpy_is_plain_and_nonsense_stops_nothing(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    sink = open_sinks(EventSettings(lines=LinesSettings(path=str(path))), "gate")
    match = EventMatch(identity="a", score=np.float32(0.5), cosine=np.float64(0.25))
    sink.publish(Event(id="1", node="gate", time=np.float64(2), kind="embedding", match=match))
    sink.publish(Event(id="2", node="gate", time=3.0, kind="notice", reason=object()))
    sink.publish(Event(id="3", node="gate", time=4.0, kind="notice"))
    sink.close()
    one, three = lines(path)
    assert (one["time"], one["match"]["score"], one["match"]["cosine"]) == (2, 0.5, 0.25)
    assert three["id"] == "3"
    [(reason, count)] = sink.snapshot()[0].dropped.items()
    assert (reason, count) == ("no form in JSON: object in an event", 1)


def test_who_listens_cannot_stop_a_sink(tmp_path: Path) -> None:
    def broken(line: str) -> None:
        raise BrokenPipeError(line)

    path = tmp_path / "events.jsonl"
    sink = open_sinks(EventSettings(lines=LinesSettings(path=str(path))), "gate", broken)
    with files_of_at_most(1000):
        sink.publish(event(0, 3000))
        while sink.snapshot()[0].waiting:
            threading.Event().wait(0.001)
    sink.publish(event(1))
    sink.close()
    assert [line["time"] for line in lines(path)] == [1]


@pytest.mark.parametrize("torn", [b"", b'{"id":', b'{"id": "' + b"y" * 200_000])
def test_a_line_that_a_loss_of_power_cut_goes(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"id": "old"}\n' + torn)
    sink = LinesSink(LinesSettings(path=str(path)), print)
    sink.publish(event(1))
    sink.close()
    assert [line["id"] for line in lines(path)] == ["old", "gate-1-1"]


def test_a_full_disk_is_told_once_counted_and_survived(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    said: list[str] = []
    sink = LinesSink(LinesSettings(path=str(path)), said.append)
    write = sink._write  # in this thread, so that limits and lines keep their order
    write([event(0)])
    with files_of_at_most(5000):
        write([event(1, 3000), event(2, 3000), event(3, 3000)])
        assert not sink.snapshot()[0].connected
        write([event(4)])
        write([event(5, 3000)])
    write([event(6)])
    sink.close()
    assert [line["time"] for line in lines(path)] == [0, 1, 4, 6]
    [counters] = sink.snapshot()
    assert counters.dropped == {os.strerror(27): 3}
    assert counters.connected
    assert [text.partition(": ")[2] for text in said] == [
        "events are lost: File too large",
        "written again; 2 events were lost",
        "events are lost: File too large",
        "written again; 1 events were lost",
    ]


def test_a_file_that_somebody_removes_comes_again(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    sink = LinesSink(LinesSettings(path=str(path)), print)
    sink._write([event(0)])
    path.unlink()
    sink._write([event(1)])
    sink.close()
    assert [line["time"] for line in lines(path)] == [1]


def test_what_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    places = {
        tmp_path / "no-such-folder" / "events.jsonl": "No such file",
        tmp_path / "file" / "events.jsonl": "Not a directory",
        tmp_path: "Is a directory",
        Path("/proc/events.jsonl"): "No such file",
    }
    for place, reason in places.items():
        with pytest.raises(EventError, match=reason) as caught:
            open_sinks(EventSettings(lines=LinesSettings(path=str(place))), "gate")
        assert str(place) in str(caught.value)
        assert "\n" not in str(caught.value)


# The queue


def test_the_oldest_events_go_first_and_nobody_waits(tmp_path: Path) -> None:
    counter = EventCounter("test")
    handled: list[Event] = []
    begun, go = threading.Event(), threading.Event()

    def handle(events: list[Event]) -> None:
        begun.set()
        go.wait(10)
        handled.extend(events)

    queue = EventQueue("test", handle, counter)
    queue.put(event(0))
    begun.wait(10)  # the disk hangs
    for number in range(1, DEPTH + 101):
        queue.put(event(number))
    go.set()
    queue.close(10)
    assert [e.time for e in handled] == [0, *range(101, DEPTH + 101)]
    assert counter.snapshot().dropped == {queue_module.OVERFLOW: 100}


# The outbox


def numbers(outbox: Outbox) -> list[bytes]:
    outbox.release()
    found = []
    while messages := outbox.claim(7):
        assert all(a.number < b.number for a, b in pairwise(messages))
        found += [message.body for message in messages]
    outbox.release()
    return found


def test_messages_last_from_run_to_run(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    first = Outbox(path, MB)
    first.add([("t", b"1"), ("t", b"2")])
    first.add([("u", b"3")])
    [one, two] = first.claim(2)
    first.remove([one.number])
    assert first.waiting == 2
    first.close()
    second = Outbox(path, MB)
    assert second.waiting == 2
    second.add([("t", b"4")])
    assert numbers(second) == [b"2", b"3", b"4"]
    assert (two.topic, [message.topic for message in second.claim(9)]) == ("t", ["t", "u", "t"])
    second.close()
    assert path.stat().st_mode & 0o077 == 0


def test_numbers_rise_though_all_messages_are_gone(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db", MB)
    for body in (b"1", b"2", b"3"):
        outbox.add([("t", body)])
        [message] = outbox.claim(5)
        assert message.body == body
        outbox.remove([message.number])
    assert outbox.claim(5) == []
    outbox.close()


steps = st.lists(
    st.tuples(st.sampled_from(["add", "claim", "remove", "release", "sync"]), st.integers(1, 90)),
    max_size=60,
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=steps, seed=st.integers(0, 99))
def test_the_outbox_is_a_bounded_queue(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]], seed: int
) -> None:
    """Against a list: what is not dropped comes in order; the file keeps its size."""
    path = tmp_path_factory.mktemp("outbox") / "outbox.db"
    outbox, chance = Outbox(path, MB), random.Random(seed)
    model: list[int] = []
    claimed: list[tuple[int, int]] = []  # the outbox's number, and ours
    count = 0
    for step, size in steps:
        if step == "add":
            new = list(range(count, count + chance.randint(1, 20)))
            count = new[-1] + 1
            dropped = outbox.add([("t", str(n).encode().ljust(size * 1000)) for n in new])
            model += new
            held = [n for n in model if n in {mine for _, mine in claimed}]
            free = [n for n in model if n not in held]
            model = held + free[dropped:]
        elif step == "claim":
            messages = outbox.claim(size)
            claimed += [(message.number, int(message.body)) for message in messages]
            assert [mine for _, mine in claimed] == model[: len(claimed)]
        elif step == "remove" and claimed:
            gone = [claimed.pop(0) for _ in range(min(size, len(claimed)))]
            outbox.remove([number for number, _ in gone])
            model = [n for n in model if n not in {mine for _, mine in gone}]
        elif step == "release":
            outbox.release()
            claimed = []
        else:
            outbox.sync()
        assert outbox.waiting == len(model)
    assert [int(body) for body in numbers(outbox)] == model
    outbox.close()
    assert path.stat().st_size <= MB


def test_the_oldest_messages_go_for_want_of_room(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db", MB)
    dropped = sum(outbox.add([("t", b"%d" % n + b" " * 10_000)]) for n in range(300))
    left = [int(body) for body in numbers(outbox)]
    assert left == list(range(dropped, 300))
    assert 75 < len(left) < 100
    assert outbox.add([("t", b" " * 2 * MB)]) == len(left) + 1  # what never fits
    outbox.close()


CHILD = """
import sys
from pathlib import Path
from runtime.node.events.outbox import Outbox
outbox = Outbox(Path(sys.argv[1]), 50_000_000)
number = int(sys.argv[2])
while True:
    outbox.add([("t", b"%d " % n + b"x" * 2000) for n in (number, number + 1)])
    print(number + 1, flush=True)
    number += 2
    if number % 10 == 0:
        messages = outbox.claim(3)
        print("-", *(message.body.split()[0].decode() for message in messages), flush=True)
        outbox.remove([message.number for message in messages])
"""


def test_what_was_added_survives_a_kill_at_any_moment(tmp_path: Path) -> None:
    """Rounds in which a process is killed while it writes; what it said it had is compared."""
    path = tmp_path / "outbox.db"
    chance = random.Random(0)
    present: list[int] = []
    for _ in range(4):
        first = max(present, default=-1) + 1
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path), str(first)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert child.stdout is not None
        said = [child.stdout.readline() for _ in range(chance.randint(5, 60))]
        os.kill(child.pid, signal.SIGKILL)
        said += child.stdout.read().splitlines()
        child.wait()
        outbox = Outbox(path, 50 * MB)
        found = [int(body.split()[0]) for body in numbers(outbox)]
        outbox.close()
        acknowledged = max(int(line) for line in said if not line.startswith("-"))
        removed = [{int(n) for n in line.split()[1:]} for line in said if line.startswith("-")]
        there = [*present, *range(first, acknowledged + 1)]
        # The last step may have been done or not: messages added and not said, or said and not
        # removed.
        extra = [n for n in found if n > acknowledged]
        assert extra in ([], [acknowledged + 1, acknowledged + 2])
        rest = [n for n in found if n <= acknowledged]
        done = set().union(*removed[:-1])
        undone = [n for n in there if n not in done]
        assert rest in (undone, [n for n in undone if n not in set().union(*removed)])
        assert found == sorted(set(found))
        present = found


def test_a_disk_that_is_full_costs_no_message_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    outbox = Outbox(path, 50 * MB)
    outbox.add([("t", b"0" * 1000)])

    def fill() -> None:
        for _ in range(50):
            outbox.add([("t", b"1" * 5000)])

    with files_of_at_most(100_000), pytest.raises(EventError, match=r"outbox\.db: the disk"):
        fill()
    there = outbox.waiting
    outbox.add([("t", b"2")])
    bodies = numbers(outbox)
    assert len(bodies) == there + 1 > 2
    assert (bodies[0], bodies[-1]) == (b"0" * 1000, b"2")
    outbox.close()


def test_a_file_that_is_no_outbox_is_an_error(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("no database, and longer than the header of one" * 10)
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE x (y)")
    later = tmp_path / "later.db"
    Outbox(later, MB).close()
    with closing(sqlite3.connect(later)) as connection:
        connection.execute("PRAGMA user_version = 99")
    for path, reason in {
        text: "not an outbox",
        other: "another program's",
        later: "schema 99",
        tmp_path: "is a folder",
        tmp_path / "no" / "outbox.db": "No such file",
        Path("/proc/outbox.db"): "cannot be written",
    }.items():
        with pytest.raises(EventError, match=reason) as caught:
            Outbox(path, MB)
        assert str(path) in str(caught.value)
    assert text.read_text().startswith("no database")


def test_an_outbox_belongs_to_one_node(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db", MB)
    script = (
        "import sys; from pathlib import Path; from runtime.node.events.outbox import Outbox\n"
        "try: Outbox(Path(sys.argv[1]), 1_000_000)\n"
        "except ValueError as error: print(error)"
    )
    out = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "outbox.db")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    ).stdout
    assert "another node uses it" in out
    outbox.add([("t", b"1")])
    outbox.close()


def test_events_need_no_torch() -> None:
    script = (
        "import sys, runtime.node.events, runtime.node.status\n"
        "print('torch' in sys.modules, 'paho' in sys.modules)"
    )
    out = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert out.stdout.split() == ["False", "False"]
