"""A bounded queue between two stages that accounts for all that goes through it."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

T = TypeVar("T")

OVERFLOW = "overflow"
"""Pushed out by newer ones, since the next stage was slower."""

STOPPED = "stopped"
"""The node was stopped before its turn came."""


@dataclass(frozen=True)
class Account:
    """What became of things of one kind. entered = left + all dropped + held, at every moment.

    Attributes:
        entered: how many came.
        left: how many went on.
        dropped: how many were given up, by reason.
        held: how many wait or are worked on.
    """

    entered: int = 0
    left: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    held: int = 0

    @property
    def balanced(self) -> bool:
        """Whether nothing is unaccounted for."""
        return self.entered == self.left + sum(self.dropped.values()) + self.held

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "entered": self.entered,
            "left": self.left,
            "dropped": dict(self.dropped),
            "held": self.held,
        }


def total(accounts: Iterable[Account]) -> Account:
    """Several accounts of things of one kind as one."""
    found, dropped = Account(), Counter[str]()
    for each in accounts:
        dropped.update(each.dropped)
        entered, left = found.entered + each.entered, found.left + each.left
        found = Account(entered, left, dropped, found.held + each.held)
    return found


class Backlog(Generic[T]):
    """Things on their way to a stage. Nobody waits to put one in: the oldest goes if there are
    too many. One thread takes, and says what became of what it took.

    Args:
        room: how many wait at most.
        clock: seconds.
        changed: told of each change, where somebody waits for several; its own by default.
    """

    def __init__(
        self,
        room: int,
        clock: Callable[[], float] = time.monotonic,
        changed: threading.Condition | None = None,
    ) -> None:
        self._room, self._clock = room, clock
        self._waiting: deque[T] = deque()
        self._changed = changed or threading.Condition()
        self._closed = False
        self._entered = self._left = self._working = 0
        self._dropped: Counter[str] = Counter()

    def put(self, item: T, patience: float = 0.0) -> None:
        """Leave something.

        Args:
            item: what.
            patience: seconds to wait for room before the oldest goes.
        """
        with self._changed:
            if patience:  # until it is in, it is not held here
                self._changed.wait_for(lambda: self._closed or self._has_room(), patience)
            self._entered += 1
            if self._closed:
                self._dropped[STOPPED] += 1
                return
            if not self._has_room():
                self._waiting.popleft()
                self._dropped[OVERFLOW] += 1
            self._waiting.append(item)
            self._changed.notify_all()

    def refuse(self, reason: str) -> None:
        """Count something that came and goes no further."""
        with self._changed:
            self._entered += 1
            self._dropped[reason] += 1

    def take(self, most: int, timeout: float) -> list[T] | None:
        """The oldest, `most` at once; none if the time is over; None if nothing will come any more.

        Args:
            most: how many at most.
            timeout: seconds to wait.
        """
        end = self._clock() + timeout
        with self._changed:
            while not self._waiting:
                if self._closed:
                    return None
                rest = end - self._clock()
                if rest <= 0:
                    return []
                self._changed.wait(rest)
            return self.pop(most)

    def pop(self, most: int = 1) -> list[T]:
        """The oldest, `most` at once, without waiting: none if none waits."""
        with self._changed:
            items = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
            self._working += len(items)
            self._changed.notify_all()
            return items

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def oldest(self) -> T:
        """The next to be taken; there is one."""
        return self._waiting[0]

    def leave(self, count: int = 1) -> None:
        """Say that so many of those taken went on."""
        with self._changed:
            self._working -= count
            self._left += count

    def drop(self, reason: str, count: int = 1) -> None:
        """Say that so many of those taken were given up."""
        with self._changed:
            self._working -= count
            self._dropped[reason] += count

    @property
    def closed(self) -> bool:
        """Whether nothing will be put in any more."""
        return self._closed

    def close(self) -> None:
        """Nothing will be put in any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def clear(self) -> None:
        """Close it, and give up all that wait."""
        with self._changed:
            self._closed = True
            self._dropped[STOPPED] += len(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()

    def snapshot(self) -> Account:
        """What became of all, at one moment."""
        with self._changed:
            held = len(self._waiting) + self._working
            return Account(self._entered, self._left, +self._dropped, held)

    def _has_room(self) -> bool:
        return len(self._waiting) < self._room
