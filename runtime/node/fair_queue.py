"""Queues of several owners, from which one thread takes its turns."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Generic, Protocol, TypeVar

from runtime.node.backlog import Account, Backlog, total


class Timed(Protocol):
    """What has a time, by which the oldest is known."""

    @property
    def time(self) -> float: ...


T = TypeVar("T", bound=Timed)


class FairQueue(Generic[T]):
    """A lane for each owner, who can fill and overflow only that, and one thread that takes from
    all of them in turn: of one round it takes the oldest of each lane. So an owner with few things
    gets all of them through, and those with many share what is left evenly.

    Attributes:
        lanes: by owner, where things are put in.

    Args:
        owners: their names, at least one.
        room: how many of each wait at most.
        clock: seconds.
    """

    def __init__(
        self, owners: Iterable[str], room: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self.lanes: Mapping[str, Backlog[T]] = {
            owner: Backlog(room, clock, self._changed) for owner in owners
        }
        self._order = list(self.lanes.values())  # the first is the next to give
        self._taken: Counter[Backlog[T]] = Counter()

    def take(self, most: int, timeout: float, patience: Callable[[T], float]) -> list[T] | None:
        """Some that wait, `most` at once; none if the time is over; None if nothing will come any
        more. What was taken before has to be reported first, by `leave` or `drop`.

        Args:
            most: how many at most.
            timeout: seconds to wait.
            patience: given the oldest of all: for how many seconds more may be waited for others,
                while there are less than `most`.
        """
        end = self._clock() + timeout
        with self._changed:
            while True:
                rest = end - self._clock()
                waiting = [lane for lane in self._order if lane.waiting]
                count = sum(lane.waiting for lane in waiting)
                over = all(lane.closed for lane in self._order)
                if waiting:
                    gather = 0.0
                    if count < most and not over:
                        gather = patience(min((lane.oldest for lane in waiting), key=_time))
                    if gather <= 0:
                        return self._turns(min(most, count))
                    rest = min(rest, gather)
                elif over:
                    return None
                if end <= self._clock():
                    return []
                self._changed.wait(rest)

    def leave(self) -> None:
        """Say that all of those taken last went on."""
        for lane, count in self._reported():
            lane.leave(count)

    def drop(self, reason: str) -> None:
        """Say that all of those taken last were given up."""
        for lane, count in self._reported():
            lane.drop(reason, count)

    def clear(self) -> None:
        """Close all lanes, and give up all that wait."""
        for lane in self.lanes.values():
            lane.clear()

    def snapshot(self) -> Account:
        """What became of all, at one moment."""
        with self._changed:
            return total(lane.snapshot() for lane in self._order)

    def _reported(self) -> list[tuple[Backlog[T], int]]:
        taken, self._taken = self._taken, Counter()
        return list(taken.items())

    def _turns(self, count: int) -> list[T]:
        """So many, one of each lane in turn; the next time it goes on behind the last that gave."""
        items: list[T] = []
        last = 0
        while len(items) < count:
            for i, lane in enumerate(self._order):
                if lane.waiting and len(items) < count:
                    items += lane.pop()
                    self._taken[lane] += 1
                    last = i + 1
        self._order = self._order[last:] + self._order[:last]
        self._changed.notify_all()
        return items


def _time(item: Timed) -> float:
    return item.time
