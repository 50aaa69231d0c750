"""Schedules of works that read and write memory, against reachability followed edge by edge."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.backends.tensorrt.schedule import Placed, Range, Schedule, Work, schedule

patient = settings(deadline=None)

ranges = st.builds(
    lambda start, size: Range(start, start + size), st.integers(0, 30), st.integers(1, 8)
)
works = st.lists(
    st.builds(
        Work,
        st.lists(ranges, max_size=3).map(tuple),
        st.lists(ranges, max_size=2).map(tuple),
        st.floats(0.1, 100),
    ),
    max_size=12,
)


def edges(found: Schedule, left_out: tuple[int, int] | None = None) -> dict[int, set[int]]:
    """What comes directly before each work: the one before it on its lane, and its waits. The
    number of works stands for the end."""
    before: dict[int, set[int]] = {}
    tails: dict[int, int] = {}
    for i, at in enumerate(found.placed):
        before[i] = {w for w in at.waits if (i, w) != left_out}
        if at.lane in tails:
            before[i].add(tails[at.lane])
        tails[at.lane] = i
    end = len(found.placed)
    before[end] = {j for j in found.joins if (end, j) != left_out}
    if 0 in tails:
        before[end].add(tails[0])
    return before


def reached(before: dict[int, set[int]], from_: int) -> set[int]:
    seen: set[int] = set()
    stack = [from_]
    while stack:
        for i in before[stack.pop()] - seen:
            seen.add(i)
            stack.append(i)
    return seen


def touch(a: tuple[Range, ...], b: tuple[Range, ...]) -> bool:
    cells = {cell for r in a for cell in range(r.start, r.stop)}
    return any(cell in cells for r in b for cell in range(r.start, r.stop))


@patient
@given(works, st.integers(1, 4))
def test_what_touches_the_same_memory_keeps_its_order(some: list[Work], lanes: int) -> None:
    found = schedule(some, lanes)
    before = edges(found)
    for i, work in enumerate(some):
        behind = reached(before, i)
        for j, earlier in enumerate(some[:i]):
            if (
                touch(work.writes, earlier.writes)
                or touch(work.writes, earlier.reads)
                or touch(work.reads, earlier.writes)
            ):
                assert j in behind
    assert reached(before, len(some)) == set(range(len(some)))


@patient
@given(works, st.integers(1, 4))
def test_no_wait_follows_from_the_others(some: list[Work], lanes: int) -> None:
    found = schedule(some, lanes)
    waits = [(i, w) for i, at in enumerate(found.placed) for w in at.waits]
    waits += [(len(some), j) for j in found.joins]
    for i, w in waits:
        assert w not in reached(edges(found, (i, w)), i)
    assert found.signals == {w for _, w in waits}


@patient
@given(works, st.integers(1, 4))
def test_lanes_are_used_from_the_first_on(some: list[Work], lanes: int) -> None:
    found = schedule(some, lanes)
    assert {at.lane for at in found.placed} == set(range(found.lanes))
    assert found.lanes <= lanes


def test_one_lane_needs_no_waits() -> None:
    cell = (Range(0, 1),)
    found = schedule([Work(cell, cell, 1.0)] * 5, 1)
    assert found.placed == (Placed(0, ()),) * 5
    assert not found.signals


def test_what_is_independent_runs_at_once_and_what_is_short_fills_up() -> None:
    def alone(i: int, cost: float) -> Work:
        return Work((), (Range(i, i + 1),), cost)

    found = schedule([alone(0, 9), alone(1, 3), alone(2, 3)], 2)
    assert [at.lane for at in found.placed] == [0, 1, 1]


def test_a_chain_stays_on_its_lane() -> None:
    a, b = (Range(0, 1),), (Range(1, 2),)
    first, second = Work((), a, 5), Work((), b, 5)
    found = schedule([first, second, Work(b, b, 5), Work(a, a, 5)], 3)
    assert [at.lane for at in found.placed] == [0, 1, 1, 0]
    assert all(not at.waits for at in found.placed)
