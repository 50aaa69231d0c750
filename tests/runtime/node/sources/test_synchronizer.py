"""Triplets against brute force, and every frame accounted for."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denet.graph import Modality
from runtime.node.sources import (
    Synchronizer,
    TrackTiming,
    Triplet,
)
from tests.runtime.node.sources.parts import MODALITIES, TICK, frame


@dataclass
class Run:
    """What a synchronizer makes of frames that arrive at given times."""

    timing: TrackTiming
    arrivals: dict[Modality, list[tuple[float, float]]]  # capture, arrival
    given: list[tuple[float, Triplet]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.synchronizer = Synchronizer(self.arrivals, self.timing)
        events = sorted(
            (
                (at, m, captured, i)
                for m, x in self.arrivals.items()
                for i, (captured, at) in enumerate(x)
            )
        )
        for at, m, captured, i in events:
            self.synchronizer.push(frame(m, captured, i), at)
            self.take(at, self.synchronizer.poll(at))
            self.check()
        end = (events[-1][0] if events else 0.0) + 100
        self.take(end, self.synchronizer.flush(end))
        self.check()
        assert not any(self.synchronizer.held.values())

    def take(self, now: float, triplets: list[Triplet]) -> None:
        self.given += [(now, t) for t in triplets if t.frames]

    def check(self) -> None:
        """In = out + dropped + held."""
        s = self.synchronizer
        for m in self.arrivals:
            lost = sum(count for (which, _), count in s.dropped.items() if which == m)
            assert s.received[m] == s.used[m] + lost + s.held[m]

    @property
    def states(self) -> Counter[str]:
        return Counter("+".join(t.frames) for _, t in self.given)

    @property
    def kinds(self) -> Counter[tuple[str, str]]:
        return Counter((m, a.kind) for _, t in self.given for m, a in t.absent.items())


def steady(
    period: float, phase: float = 0.0, delay: float = 0.02, lost: Any = (), seconds: float = 8.0
) -> list[tuple[float, float]]:
    times = (phase + i * period for i in range(int(seconds / period)) if i not in lost)
    return [(t, t + delay) for t in times]


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_every_frame_is_in_one_place_whatever_comes(data: st.DataObject) -> None:
    moments = st.lists(st.tuples(st.floats(0, 2), st.floats(-0.05, 0.5)), min_size=0, max_size=25)
    chosen = data.draw(st.sets(st.sampled_from(MODALITIES), min_size=1))
    timing = TrackTiming(
        tolerance=data.draw(st.floats(0.001, 0.1)), patience=data.draw(st.floats(0.01, 0.5))
    )
    run = Run(
        timing, {m: [(t, t + d) for t, d in data.draw(moments)] for m in MODALITIES if m in chosen}
    )
    seen: set[tuple[str, int]] = set()
    last = float("-inf")
    for _, triplet in run.given:
        times = {m: x.time for m, x in triplet.frames.items()}
        assert all(abs(t - triplet.time) <= timing.tolerance for t in times.values())
        assert triplet.time >= last
        last = triplet.time
        new = {(m, x.sequence) for m, x in triplet.frames.items()} - seen
        assert new  # no triplet without a frame that is in no other
        seen |= new
        assert set(triplet.frames) | set(triplet.absent) == chosen
        assert not set(triplet.frames) & set(triplet.absent)
    used = Counter(m for m, _ in seen)
    assert all(used[m] == run.synchronizer.used[m] for m in chosen)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_sensors_in_step_are_matched_as_brute_force_matches_them(data: st.DataObject) -> None:
    """All frames there, in any order of arrival: the triplets are all sets within the tolerance."""
    timing = TrackTiming(tolerance=0.015, patience=0.2)
    count = data.draw(st.integers(1, 30))
    arrivals: dict[Modality, list[tuple[float, float]]] = {}
    for m in MODALITIES:
        off = data.draw(st.floats(0, 0.005))
        delay = data.draw(st.floats(0, 0.1))
        pairs = []
        for i in range(count):
            t = i * TICK + off + data.draw(st.floats(0, 0.002))
            pairs.append((t, t + delay + data.draw(st.floats(0, 0.02))))
        # One camera's frames arrive in their order.
        ordered = itertools.accumulate((at for _, at in pairs), max)
        arrivals[m] = [(t, at) for (t, _), at in zip(pairs, ordered, strict=True)]
    expected = [
        combination
        for combination in itertools.product(*([t for t, _ in x] for x in arrivals.values()))
        if max(combination) - min(combination) <= timing.tolerance
    ]
    run = Run(timing, arrivals)
    assert [tuple(x.time for x in t.frames.values()) for _, t in run.given] == sorted(expected)
    assert not run.synchronizer.dropped


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_lost_frames_cost_themselves_alone(data: st.DataObject) -> None:
    timing = TrackTiming()
    kept = {m: data.draw(st.lists(st.booleans(), min_size=20, max_size=20)) for m in MODALITIES}
    arrivals = {
        m: [(i * TICK, i * TICK + 0.01) for i in range(20) if kept[m][i]] for m in MODALITIES
    }
    run = Run(timing, arrivals)
    got: dict[int, set[Modality]] = {}
    for _, triplet in run.given:
        # A sensor that was silent may come after its triplet: it makes another, with the same.
        tick = round(triplet.time / TICK)
        got[tick] = got.get(tick, set()) | set(triplet.frames)
    dropped = sum(run.synchronizer.dropped.values())
    expected = {i: {m for m in MODALITIES if kept[m][i]} for i in range(20)}
    missing = sum(len(expected[i] - got.get(i, set())) for i in range(20))
    assert all(got[i] <= expected[i] for i in got)
    assert missing == dropped
    # Only a frame that stands alone among others that go on, twice in a row, is dropped.
    assert {reason for _, reason in run.synchronizer.dropped} <= {"out of step"}
    assert all(i in got or len(expected[i]) <= 1 for i in range(20))


def test_a_dead_sensor_is_waited_for_three_times() -> None:
    lost = steady(TICK, 0.002, lost=range(100, 999))
    run = Run(TrackTiming(), {"rgb": steady(TICK), "tir": lost})
    waits = [now - t.time for now, t in run.given]
    assert run.states == {"rgb+tir": 100, "rgb": 100}
    assert sum(wait > 0.1 for wait in waits) <= 6  # 0.2 s hold five frames
    assert max(waits) <= 0.2 + TICK + 1e-6
    assert set(run.kinds) == {("tir", "absent")}


def test_a_sensor_that_comes_back_is_matched_again() -> None:
    lost = steady(TICK, 0.002, 0.05, range(50, 100))
    run = Run(TrackTiming(), {"rgb": steady(TICK), "tir": lost})
    # Its first frame came after the triplet of its moment, and makes another with the same.
    assert run.states == {"rgb+tir": 150, "rgb": 51}
    assert not run.synchronizer.dropped


def test_a_sensor_whose_frames_come_too_late_is_stale() -> None:
    late = steady(TICK, delay=0.3)
    run = Run(TrackTiming(), {"rgb": steady(TICK), "nir": steady(TICK), "tir": late})
    assert run.states["rgb+nir"] >= 195
    assert run.kinds["tir", "stale"] >= 195
    patient = Run(TrackTiming(patience=0.4), run.arrivals)
    assert patient.states == {"rgb+nir+tir": 200}


def test_delay_that_all_share_costs_nothing() -> None:
    arrivals = {m: steady(TICK, 0.002 * i, 3 + 0.01 * i) for i, m in enumerate(MODALITIES)}
    assert Run(TrackTiming(), arrivals).states == {"rgb+nir+tir": 200}


@pytest.mark.parametrize("stray", MODALITIES)
def test_the_sensor_out_of_step_is_the_one_that_is_left_out(stray: Modality) -> None:
    run = Run(TrackTiming(), {m: steady(TICK, TICK / 2 * (m == stray)) for m in MODALITIES})
    rest = "+".join(m for m in MODALITIES if m != stray)
    assert run.states[rest] == 200
    assert run.states.total() - 200 <= 2  # it stands alone once, before that is known
    assert run.kinds[stray, "out of step"] >= 190


def test_of_two_sensors_out_of_step_the_first_leads() -> None:
    run = Run(TrackTiming(), {"nir": steady(0.1), "tir": steady(0.1, 0.05)})
    assert run.states["nir"] == 80
    assert run.states["tir"] <= 2


def test_the_first_is_the_first_of_the_node() -> None:
    for order in (("tir", "nir"), ("nir", "tir")):
        synchronizer = Synchronizer(order)
        for i in range(20):
            for m in ("nir", "tir"):
                at = i * TICK + TICK / 2 * (m == "tir")
                synchronizer.push(frame(m, at), at)
                synchronizer.poll(at)
        synchronizer.flush(21 * TICK)
        assert {m for m, _ in synchronizer.dropped} == {order[1]}


def test_a_slow_sensor_serves_again() -> None:
    timing = TrackTiming(tolerance=0.06)
    run = Run(timing, {"rgb": steady(TICK), "nir": steady(TICK, 0.002), "tir": steady(1 / 9, 0.01)})
    assert run.states["rgb+nir+tir"] / run.states.total() > 0.98
    assert 195 <= run.states.total() <= 205


@pytest.mark.parametrize("phase", [0.0, 0.005, 0.012, 0.0199, 0.02, 0.0201, 0.03, 0.0399])
def test_sensors_that_run_free_are_matched_at_any_phase(phase: float) -> None:
    run = Run(TrackTiming(tolerance=0.025), {"rgb": steady(TICK), "tir": steady(TICK, phase)})
    assert run.states["rgb+tir"] >= 198
    assert run.states.total() <= 202


def test_impossible_times_are_dropped() -> None:
    synchronizer = Synchronizer(["rgb"])
    for captured, now in ((1.0, 1.0), (1.0, 1.1), (0.9, 1.1), (9.0, 1.2)):
        synchronizer.push(frame("rgb", captured), now)
    assert synchronizer.dropped == {("rgb", "disordered"): 2, ("rgb", "ahead"): 1}


def test_silence_is_told() -> None:
    synchronizer = Synchronizer(["rgb", "tir"])
    assert synchronizer.poll(5.0) == []
    assert synchronizer.poll(5.9) == []
    (empty,) = synchronizer.poll(6.1)
    assert empty.frames == {}
    assert {m: a.reason for m, a in empty.absent.items()} == dict.fromkeys(
        ("rgb", "tir"), "no frame has come yet"
    )
    assert synchronizer.poll(6.5) == []
    assert len(synchronizer.poll(7.2)) == 1
