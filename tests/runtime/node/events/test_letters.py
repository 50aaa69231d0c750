"""An outbox on a disk that errs: nothing is sent that was not published, and the others go on."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from runtime.node.events import EventError
from runtime.node.events.outbox import Outbox, OutboxMessage
from tests.runtime.node.events.parts import MB

COUNT = 12

EVENTS = [(f"node/{i % 2}", b"%d " % i + bytes(range(32, 127)) * (1 + 3 * (i % 5)))
          for i in range(COUNT)]  # fmt: skip

RIGHT = {(i + 1, topic, body) for i, (topic, body) in enumerate(EVENTS)}


def fill(path: Path) -> bytes:
    outbox = Outbox(path, MB)
    outbox.add(EVENTS)
    outbox.close()
    return path.read_bytes()


def look(path: Path) -> tuple[list[OutboxMessage], Outbox]:
    """All that a relay gets; the outbox is closed."""
    outbox = Outbox(path, MB)
    messages = outbox.claim(99)
    waiting = outbox.waiting
    outbox.close()
    assert waiting == len(messages)
    return messages, outbox


def test_no_flipped_bit_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    content = fill(path)
    chance, seen = np.random.default_rng(0), {"whole": 0, "row": 0, "file": 0, "refused": 0}
    used = np.flatnonzero(np.frombuffer(content, np.uint8))
    for place, bit in zip(chance.choice(used, 1500), chance.integers(0, 8, 1500), strict=True):
        wrong = bytearray(content)
        wrong[place] ^= 1 << int(bit)
        path.write_bytes(wrong)
        try:
            messages, outbox = look(path)
        except EventError:
            seen["refused"] += 1
            continue
        sent = {(m.number, m.topic, m.body) for m in messages if not m.damage}
        damaged = len(messages) - len(sent)
        assert sent <= RIGHT, (place, bit)
        if outbox.rescued:
            seen["file"] += 1
            assert f" {len(sent)} events of it are whole" in outbox.rescued
            for each in tmp_path.glob("*.damaged-*"):
                each.unlink()
        else:
            assert len(sent) + damaged == COUNT, (place, bit)
            assert damaged <= 1
            seen["row" if damaged else "whole"] += 1
    assert seen["row"] > 500
    assert seen["file"] > 10
    assert seen["refused"] < 50  # of the header: whose file it is


def test_a_damaged_row_keeps_no_other_back(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    fill(path)
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("UPDATE letters SET body = x'7b7d' WHERE number = 1")
        raw.execute("UPDATE letters SET topic = 'elsewhere' WHERE number = 3")
        raw.execute("UPDATE letters SET number = -5 WHERE number = 5")
        raw.execute("UPDATE letters SET digest = 7 WHERE number = 7")
        raw.commit()
    outbox = Outbox(path, MB)
    messages = outbox.claim(99)
    damaged = [m.number for m in messages if m.damage]
    assert damaged == [-5, 1, 3, 7]
    assert {(m.number, m.topic, m.body) for m in messages if not m.damage} == {
        each for each in RIGHT if each[0] not in (1, 3, 5, 7)
    }
    for number in damaged:
        outbox.put_aside(number, "damaged")
    assert (outbox.waiting, outbox.set_aside) == (COUNT - 4, 4)
    outbox.add([("node/0", b"new")])
    assert outbox.claim(9)[0].body == b"new"
    outbox.close()


def test_pages_that_are_damaged_cost_what_is_on_them(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    outbox = Outbox(path, MB)
    outbox.add([("t", b"%d " % i + b"x" * 1000) for i in range(60)])
    outbox.close()
    content = bytearray(path.read_bytes())
    page = next(p for p in range(0, len(content), 4096) if b"\x0030 xxx" in content[p:p + 4096]
                or b"30 xxx" in content[p:p + 4096])  # fmt: skip
    content[page : page + 4096] = b"\xff" * 4096
    path.write_bytes(content)
    outbox = Outbox(path, MB)
    left = [int(message.body.split()[0]) for message in outbox.claim(99)]
    assert 50 < len(left) < 60
    assert left == sorted(left)
    assert {0, 59} <= set(left)
    assert "30" not in map(str, left)
    outbox.add([("t", b"60")])
    assert outbox.claim(9)[-1].number == 61
    assert f"{len(left)} events of it are whole" in outbox.rescued
    outbox.close()
    assert (tmp_path / "outbox.db.damaged-1").read_bytes()[page : page + 8] == b"\xff" * 8
    assert (tmp_path / "outbox.db.damaged-1").stat().st_mode & 0o077 == 0
    again = Outbox(path, MB)
    assert (again.rescued, again.waiting) == ("", len(left) + 1)
    again.close()


@pytest.mark.parametrize("aside", [True, False])
def test_what_an_earlier_denet_left_is_delivered(tmp_path: Path, aside: bool) -> None:
    path = tmp_path / "outbox.db"
    with closing(sqlite3.connect(path)) as raw:
        raw.executescript(
            "PRAGMA journal_mode = WAL; CREATE TABLE letters (number INTEGER PRIMARY KEY, "
            "topic TEXT NOT NULL, body BLOB NOT NULL); "
            "PRAGMA application_id = 0x444E4F42; PRAGMA user_version = 1;"
        )
        if aside:
            raw.execute(
                "CREATE TABLE IF NOT EXISTS aside (number INTEGER PRIMARY KEY, "
                "time REAL NOT NULL, reason TEXT NOT NULL)"
            )
            raw.execute("INSERT INTO aside VALUES (2, 0, 'too large')")
        raw.executemany("INSERT INTO letters VALUES (?, ?, ?)", sorted(RIGHT))
        raw.commit()
    for _ in range(2):
        outbox = Outbox(path, MB)
        found = {(m.number, m.topic, m.body) for m in outbox.claim(99)}
        assert found == {each for each in RIGHT if not (aside and each[0] == 2)}
        assert (outbox.set_aside, outbox.rescued) == (int(aside), "")
        outbox.close()
