"""Which part of a program runs on which stream, and what it waits for: pure planning.

A program is a list of works that read and write memory. Run one after the other they are right;
`schedule` spreads them over lanes (streams: a lane runs its works in order, lanes run at once) and
says where a lane has to wait for another, so that whatever two works touch in common, and one of
them writes, is touched in the order of the list.

Nothing here touches a device. `runtime.backends.tensorrt.backend` executes what this decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Range:
    """Addresses [start, stop)."""

    start: int
    stop: int

    def overlaps(self, other: Range) -> bool:
        return self.start < other.stop and other.start < self.stop


@dataclass(frozen=True)
class Work:
    """One part of a program.

    Attributes:
        reads: what it reads.
        writes: what it writes.
        cost: about how long it takes, in any unit; a wrong one costs time, never correctness.
    """

    reads: tuple[Range, ...]
    writes: tuple[Range, ...]
    cost: float

    def conflicts(self, other: Work) -> bool:
        """Whether the two must keep their order."""
        return (
            _meet(self.writes, other.writes)
            or _meet(self.writes, other.reads)
            or _meet(self.reads, other.writes)
        )


@dataclass(frozen=True)
class Placed:
    """Where a work runs: its lane, and the works of other lanes that it waits for first."""

    lane: int
    waits: tuple[int, ...]


@dataclass(frozen=True)
class Schedule:
    """The placement of a program's works.

    Every lane but the first begins by waiting for the first one's beginning, and the first ends by
    waiting for `joins`: so a whole program follows what was queued on the first lane before it, and
    is done when the first lane is.

    Attributes:
        lanes: how many there are.
        placed: of each work, in the order in which they are to be queued.
        signals: the works that somebody waits for.
        joins: the last works of other lanes, those that the first does not know to be done.
    """

    lanes: int
    placed: tuple[Placed, ...]
    signals: frozenset[int]
    joins: tuple[int, ...]


def schedule(works: Sequence[Work], lanes: int) -> Schedule:
    """Place `works` on at most `lanes` lanes.

    In their order, each goes where it can start first, and of equal lanes to one that it would
    otherwise have to wait for. A wait that follows from others is left out.
    """
    placed: list[Placed] = []
    ends: list[float] = []
    tails: list[int | None] = [None] * lanes
    # For each work, the last work of each lane that is known to be done once it is.
    behind: list[list[int]] = []
    for work in works:
        needed = [i for i, earlier in enumerate(works[: len(placed)]) if work.conflicts(earlier)]
        ready = max((ends[i] for i in needed), default=0.0)

        def start(lane: int, ready: float = ready) -> float:
            tail = tails[lane]
            return ready if tail is None else max(ready, ends[tail])

        lane = min(range(lanes), key=lambda k: (start(k), tails[k] not in needed, k))
        tail = tails[lane]
        known = [-1] * lanes if tail is None else list(behind[tail])
        waits = _waits(needed, known, placed, behind)
        ends.append(start(lane) + work.cost)
        known[lane] = len(placed)
        tails[lane] = len(placed)
        behind.append(known)
        placed.append(Placed(lane, waits))
    used = [tail for tail in tails if tail is not None]
    known = list(behind[used[0]]) if used else []
    joins = _waits(used, known, placed, behind)
    signals = frozenset(i for each in placed for i in each.waits) | set(joins)
    return Schedule(len(used), tuple(placed), signals, joins)


def _waits(
    needed: Sequence[int],
    known: list[int],
    placed: Sequence[Placed],
    behind: Sequence[Sequence[int]],
) -> tuple[int, ...]:
    """Those of `needed` that must be waited for by one who knows `known`, which learns of them."""
    waits: list[int] = []
    # Latest first: what it knows of the others then need not be waited for.
    for i in sorted(needed, reverse=True):
        if i > known[placed[i].lane]:
            waits.append(i)
            known[:] = [max(a, b) for a, b in zip(known, behind[i], strict=True)]
    return tuple(sorted(waits))


def _meet(some: Sequence[Range], others: Sequence[Range]) -> bool:
    return any(a.overlaps(b) for a in some for b in others)
