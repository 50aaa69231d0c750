"""Events in a file, a line each."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.node.events import (
    Event,
    EventError,
    EventMatch,
    EventSettings,
    LinesSettings,
    open_sinks,
)
from runtime.node.events.encoding import encode
from runtime.node.events.lines import LinesSink
from tests.disk import files_of_at_most
from tests.runtime.node.events.parts import MB, event


def lines(path: Path) -> list[dict[str, Any]]:
    text = path.read_bytes()
    assert not text or text.endswith(b"\n")
    return [json.loads(line) for line in text.splitlines()]


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
    path.write_bytes(encode(event(0)) + b"\n" + torn)
    sink = LinesSink(LinesSettings(path=str(path)), print)
    sink.publish(event(1))
    sink.close()
    assert [line["id"] for line in lines(path)] == ["gate-1-0", "gate-1-1"]


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


def test_a_file_that_is_moved_away_stays_as_it_is(tmp_path: Path) -> None:
    """As `logrotate` does it: with a new file in its place, or with none."""
    path = tmp_path / "events.jsonl"
    sink = LinesSink(LinesSettings(path=str(path)), print)
    sink._write([event(0)])
    path.rename(tmp_path / "first")
    sink._write([event(1)])
    path.rename(tmp_path / "second")
    path.touch()
    sink._write([event(2)])
    sink.close()
    for number, name in enumerate(("first", "second", "events.jsonl")):
        assert [line["time"] for line in lines(tmp_path / name)] == [number]


def test_a_foreign_file_in_its_place_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    said: list[str] = []
    sink = LinesSink(LinesSettings(path=str(path)), said.append)
    sink._write([event(0)])
    path.unlink()
    path.write_text("a letter")
    sink._write([event(1)])
    sink.close()
    assert path.read_text() == "a letter"
    assert "holds no events" in said[0]


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
