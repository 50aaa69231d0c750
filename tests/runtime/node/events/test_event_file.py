"""A file is continued only if it holds events; what another program wrote stays as it was."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
from pathlib import Path

import pytest

from runtime.node.events import EventError, LinesSettings
from runtime.node.events.encoding import encode
from runtime.node.events.event_file import EventFile, check_event_file
from runtime.node.events.lines import LinesSink
from tests.runtime.node.events.parts import MB, event

LINE = encode(event(0)) + b"\n"


def database(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE notes (text)")
    connection.close()


FOREIGN = {
    "zeros": lambda p: p.write_bytes(bytes(3000)),
    "text": lambda p: p.write_text("my thesis\nhas an end that has no line feed"),
    "one line": lambda p: p.write_text("my thesis"),
    "json": lambda p: p.write_text('{"name": "web app"}'),
    "json lines": lambda p: p.write_text('{"id": "5", "name": "x"}\n{"id": "6"'),
    "whole json": lambda p: p.write_text('{"id":"5","node":"a"}'),
    "another kind": lambda p: p.write_text('{"id":"5","node":"a","time":1,"kind":"x"}\n'),
    "a list": lambda p: p.write_text("[]\n"),
    "deep": lambda p: p.write_text("[" * 100_000 + "\n"),
    "no text": lambda p: p.write_bytes(b'{"id":"\xff"}\n'),
    "a database": database,
    "an event later": lambda p: p.write_bytes(b"# mine\n" + LINE),
}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("place", ["events.jsonl", "events.jsonl.1", "events.jsonl.5"])
def test_what_another_program_wrote_stays_as_it_was(tmp_path: Path, kind: str, place: str) -> None:
    FOREIGN[kind](tmp_path / place)
    path, before = tmp_path / place, (tmp_path / place).read_bytes()
    at = path.stat()
    settings = LinesSettings(path=str(tmp_path / "events.jsonl"))
    for attempt in (check_event_file, EventFile, lambda s: LinesSink(s, print)):
        with pytest.raises(EventError, match=re.escape(f"{path}: is there and holds no events")):
            attempt(settings)
    assert (path.read_bytes(), path.stat()) == (before, at)
    assert list(tmp_path.iterdir()) == [path]


def test_a_pipe_is_refused_and_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "events.jsonl")
    for attempt in (check_event_file, EventFile):
        with pytest.raises(EventError, match="holds no events"):
            attempt(LinesSettings(path=str(tmp_path / "events.jsonl")))


@pytest.mark.parametrize("content", [b"", LINE, LINE + LINE[:20], LINE + bytes(100), LINE[:-1]])
def test_looking_at_a_file_changes_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(content)
    path.chmod(0o644)
    at = path.stat()
    check_event_file(LinesSettings(path=str(path)))
    assert (path.read_bytes(), path.stat()) == (content, at)
    check_event_file(LinesSettings(path=str(tmp_path / "another.jsonl")))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("end", range(len(LINE)))
def test_wherever_the_power_went_the_file_is_continued(tmp_path: Path, end: int) -> None:
    for whole in (b"", LINE):
        path = tmp_path / f"{len(whole)}.jsonl"
        path.write_bytes(whole + LINE[:end])
        file = EventFile(LinesSettings(path=str(path)))
        file.append(LINE)
        file.close()
        assert path.read_bytes() == whole + LINE


def test_a_file_of_events_is_its_owner_s_whatever_it_was(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(LINE)
    path.chmod(0o644)
    EventFile(LinesSettings(path=str(path))).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    link = tmp_path / "events.jsonl"
    (tmp_path / "disk" / "e.jsonl").touch()
    link.symlink_to("disk/e.jsonl")
    file = EventFile(LinesSettings(path=str(link), max_bytes=MB, keep=1))
    for _ in range(3):
        file.append(encode(event(0, 600_000)) + b"\n")
    file.close()
    assert link.is_symlink()
    assert sorted(p.name for p in (tmp_path / "disk").iterdir()) == ["e.jsonl", "e.jsonl.1"]


def test_an_older_file_that_comes_meanwhile_is_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    said: list[str] = []
    sink = LinesSink(LinesSettings(path=str(path), max_bytes=MB, keep=2), said.append)
    sink._write([event(0, 600_000)])
    precious = tmp_path / "events.jsonl.2"
    precious.write_text("my thesis")
    sink._write([event(1, 600_000), event(2, 600_000)])
    assert precious.read_text() == "my thesis"
    [line] = said
    assert "events are lost" in line
    assert "events.jsonl.2: is there and holds no events" in line
    precious.unlink()
    sink._write([event(3, 600_000)])
    sink.close()
    [counters] = sink.snapshot()
    assert (counters.delivered, sum(counters.dropped.values())) == (2, 2)


def test_what_a_kill_left_while_files_changed_goes(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    (tmp_path / "events.jsonl.1").write_bytes(LINE)
    (tmp_path / ".events.jsonl.new").touch()
    EventFile(LinesSettings(path=str(path))).close()
    assert {p.name for p in tmp_path.iterdir()} == {"events.jsonl", "events.jsonl.1"}


def test_many_older_files_cost_only_those_that_are_there(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    file = EventFile(LinesSettings(path=str(path), max_bytes=MB, keep=10**9))
    for _ in range(3):
        file.append(encode(event(0, 600_000)) + b"\n")
    file.close()
    assert len(list(tmp_path.iterdir())) == 3
