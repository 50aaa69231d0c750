"""Lanes of several owners: nothing is lost, nobody is starved."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from runtime.node.backlog import OVERFLOW, Account
from runtime.node.fair_queue import FairQueue


@dataclass(frozen=True)
class Thing:
    time: float
    owner: str = ""


def now(_oldest: Thing) -> float:
    return 0.0


def even_shares(wanted: dict[str, int], most: int) -> dict[str, int]:
    """The most even shares, in plain words: one for each in turn who still wants one."""
    given: Counter[str] = Counter()
    while sum(given.values()) < min(most, sum(wanted.values())):
        least = min((o for o in wanted if given[o] < wanted[o]), key=lambda o: given[o])
        given[least] += 1
    return dict(given)


@given(st.lists(st.integers(0, 12), min_size=1, max_size=5), st.integers(1, 16))
def test_shares_are_as_even_as_what_waits_allows(waiting: list[int], most: int) -> None:
    wanted = {f"h{i}": count for i, count in enumerate(waiting)}
    queue: FairQueue[Thing] = FairQueue(wanted, 12)
    for owner, count in wanted.items():
        for number in range(count):
            queue.lanes[owner].put(Thing(number, owner))
    taken = queue.take(most, 0.0, now)
    assert taken is not None
    found = Counter(thing.owner for thing in taken)
    assert sorted(found.values()) == sorted(even_shares(wanted, most).values())
    for owner in wanted:  # of each the oldest, in their order
        mine = [thing.time for thing in taken if thing.owner == owner]
        assert mine == list(range(len(mine)))


@given(st.integers(2, 5), st.integers(1, 7))
def test_over_time_busy_owners_get_the_same(owners: int, most: int) -> None:
    queue: FairQueue[Thing] = FairQueue([f"h{i}" for i in range(owners)], 50)
    found: Counter[str] = Counter()
    for _ in range(40):
        for owner, lane in queue.lanes.items():
            for _ in range(most):
                lane.put(Thing(0.0, owner))
        taken = queue.take(most, 0.0, now)
        assert taken is not None
        assert len(taken) == most
        found.update(thing.owner for thing in taken)
        queue.leave()
    assert max(found.values()) - min(found.values()) <= 1


def test_one_that_is_busy_pushes_out_only_its_own() -> None:
    queue: FairQueue[Thing] = FairQueue(["busy", "calm"], 4)
    queue.lanes["calm"].put(Thing(0.0, "calm"))
    for number in range(100):
        queue.lanes["busy"].put(Thing(number, "busy"))
    assert queue.lanes["busy"].snapshot() == Account(100, 0, {OVERFLOW: 96}, 4)
    assert queue.lanes["calm"].snapshot() == Account(1, 0, {}, 1)
    taken = queue.take(2, 0.0, now)
    assert taken is not None
    assert {thing.owner for thing in taken} == {"busy", "calm"}
    queue.drop("why")
    assert queue.snapshot() == Account(101, 0, {OVERFLOW: 96, "why": 2}, 3)


def test_gathering_ends_by_number_by_time_and_at_the_end() -> None:
    asked: list[float] = []
    queue: FairQueue[Thing] = FairQueue(["a", "b"], 10, lambda: 0.0)

    def patience(oldest: Thing) -> float:
        asked.append(oldest.time)
        return -1.0 if len(asked) > 1 else 0.01

    queue.lanes["a"].put(Thing(2.0))
    queue.lanes["b"].put(Thing(1.0))
    taken = queue.take(4, 5.0, patience)
    assert taken is not None
    assert len(taken) == 2
    assert asked == [1.0, 1.0]  # the oldest of all
    queue.leave()
    queue = FairQueue(["a", "b"], 10)
    for number in range(5):
        queue.lanes["ab"[number % 2]].put(Thing(number))
    taken = queue.take(4, 5.0, lambda _: 1e9)
    assert taken is not None
    assert [thing.time for thing in taken] == [0, 1, 2, 3]
    assert queue.take(4, 0.0, lambda _: 1e9) == []  # it waits for others
    queue.lanes["b"].close()
    assert queue.take(4, 0.0, lambda _: 1e9) == []  # a may still bring some
    threading.Timer(0.02, queue.lanes["a"].close).start()
    assert queue.take(4, 5.0, lambda _: 1e9) == [Thing(4)]
    assert queue.take(4, 5.0, lambda _: 1e9) is None


def test_it_balances_while_threads_are_at_work() -> None:
    owners = ["a", "b", "c"]
    queue: FairQueue[Thing] = FairQueue(owners, 3)
    seen: list[Thing] = []

    def consume() -> None:
        while (items := queue.take(2, 0.01, now)) is not None:
            seen.extend(items)
            queue.leave()

    def produce(owner: str) -> None:
        for number in range(1000):
            queue.lanes[owner].put(Thing(number, owner))
        queue.lanes[owner].close()

    threads = [threading.Thread(target=produce, args=(owner,)) for owner in owners]
    threads.append(threading.Thread(target=consume))
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert queue.snapshot().balanced
    account = queue.snapshot()
    assert (account.entered, account.held) == (3000, 0)
    assert account.left == len(seen)
    for owner in owners:
        mine = [thing.time for thing in seen if thing.owner == owner]
        assert mine == sorted(mine)
        assert mine[-1] == 999  # the newest are never pushed out
        assert queue.lanes[owner].snapshot().balanced
