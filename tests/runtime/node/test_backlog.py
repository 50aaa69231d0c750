"""Queues that lose nothing unreported."""

from __future__ import annotations

import threading
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from runtime.node.backlog import OVERFLOW, STOPPED, Account, Backlog

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
