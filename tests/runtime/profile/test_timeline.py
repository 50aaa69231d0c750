"""The trace, held against the format that it claims: what `ui.perfetto.dev` and Chrome read."""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import pairwise
from typing import Any

import pytest

from denet.graph import RGB_NIR_TIR
from tests.runtime.profile.profiles import STATES, a_trace

COMPLETE = RGB_NIR_TIR.complete.name


@pytest.fixture
def trace() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(a_trace().encode())
    return found


def check_trace(trace: dict[str, Any]) -> None:
    """As the format says: an object with a list of events; of an event phase, name, process and
    thread; a complete event has a time and a duration in microseconds; on one thread, events
    are beside each other or one inside the other."""
    assert trace["displayTimeUnit"] in ("ms", "ns")
    lanes: dict[tuple[int, int], list[tuple[float, float]]] = defaultdict(list)
    named = set()
    for event in trace["traceEvents"]:
        assert event.keys() >= {"name", "ph", "pid", "tid", "ts", "cat"}
        assert isinstance(event["name"], str)
        assert event["pid"] > 0
        assert event["tid"] > 0
        assert isinstance(event["pid"], int)
        assert isinstance(event["tid"], int)
        assert isinstance(event["args"], dict)
        if event["ph"] == "M":
            assert event["name"] in ("process_name", "thread_name")
            assert event["args"].keys() == {"name"}
            named.add((event["name"], event["pid"], event["tid"]))
            continue
        assert event["ph"] == "X"
        assert event["ts"] >= 0
        assert event["dur"] >= 0
        lanes[event["pid"], event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    for (process, thread), spans in lanes.items():
        assert ("thread_name", process, thread) in named
        assert any(kind == "process_name" and process == p for kind, p, _ in named)
        open_until: list[float] = []
        for start, stop in sorted(spans, key=lambda each: (each[0], -each[1])):
            while open_until and open_until[-1] <= start + 1e-6:
                open_until.pop()
            assert not open_until or stop <= open_until[-1] + 1e-6
            open_until.append(stop)


def test_it_keeps_to_the_format(trace: dict[str, Any]) -> None:
    check_trace(trace)
    assert trace["format"] == "denet-trace"


def test_every_part_of_every_state_is_there(trace: dict[str, Any]) -> None:
    events = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    for process in (1, 2):
        engines = [(e["args"]["state"], e["name"]) for e in events
                   if e["pid"] == process and e["cat"] == "engine"]  # fmt: skip
        wanted = [(state, engine) for state in STATES
                  for engine in RGB_NIR_TIR.plan(RGB_NIR_TIR.parse(state)).engines]  # fmt: skip
        assert sorted(engines) == sorted(wanted)
    layers = [event for event in events if event["cat"] == "layer"]
    assert len(layers) == 3 * len(wanted)
    host = [event["name"] for event in events if (event["pid"], event["tid"]) == (1, 1)]
    assert host == [name for state in STATES for name in (state, "queue", "wait")]


def test_streams_overlap_and_states_do_not(trace: dict[str, Any]) -> None:
    events = [event for event in trace["traceEvents"] if event["ph"] == "X" and event["pid"] == 1]
    first, second = (
        next(e for e in events if e["tid"] == stream and e["cat"] == "engine") for stream in (2, 3)
    )
    assert first["ts"] < second["ts"] < first["ts"] + first["dur"]
    times = {
        state: [e for e in events if e["args"].get("state", e["name"]) == state] for state in STATES
    }
    for before, after in pairwise(STATES):
        last = max(e["ts"] + e["dur"] for e in times[before])
        assert last < min(e["ts"] for e in times[after])


def test_times_are_those_of_the_run() -> None:
    events = json.loads(a_trace([COMPLETE]).encode())["traceEvents"]
    branch = next(e for e in events if e["ph"] == "X" and e["name"] == "branch_rgb")
    assert (branch["ts"], branch["dur"]) == (1000.0, 3000.0)
    assert branch["args"] == {"state": COMPLETE, "form": "int8-trt"}
    layer = next(e for e in events if e["ph"] == "X" and e["name"] == "b")
    assert (layer["ts"], layer["dur"]) == (2000.0 + 1100.0, 500.0)
