"""The outbox: what waits on disk, through kills and a full disk."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.node.events import (
    EventError,
)
from runtime.node.events.outbox import Outbox
from tests.disk import files_of_at_most
from tests.paths import ROOT
from tests.runtime.node.events.parts import MB


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


def test_a_file_that_is_moved_removed_or_replaced_is_noticed(tmp_path: Path) -> None:
    path, other = tmp_path / "outbox.db", tmp_path / "other.db"
    outbox = Outbox(path, MB)
    outbox.add([("t", b"1")])
    outbox.sync()
    assert outbox.is_in_place()
    path.rename(other)
    assert not outbox.is_in_place()
    path.touch()
    assert not outbox.is_in_place()
    other.replace(path)
    assert outbox.is_in_place()
    assert numbers(outbox) == [b"1"]
    outbox.close()


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
    assert "a node uses it" in out
    outbox.add([("t", b"1")])
    outbox.close()
