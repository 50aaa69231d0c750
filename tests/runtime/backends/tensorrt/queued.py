"""What a recording device notes: operations on streams, and which of them nothing orders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

Span = tuple[int, int]


@dataclass(eq=False)
class Op:
    """Something queued: what it touches, what must happen before it, and what it does."""

    name: str
    stream: Stream
    reads: list[Span] = field(default_factory=list)
    writes: list[Span] = field(default_factory=list)
    after: list[Op] = field(default_factory=list)
    act: Callable[[], None] = lambda: None
    done: bool = False


@dataclass(eq=False)
class Stream:
    queue: list[Op] = field(default_factory=list)
    last: Op | None = None
    capture: Capture | None = None


@dataclass(eq=False)
class Event:
    timed: bool
    op: Op | None = None


@dataclass(eq=False)
class Capture:
    """Work that is noted; `origin` has to have waited for all of it in the end."""

    origin: Stream
    ops: list[Op] = field(default_factory=list)
    last: dict[Stream, Op] = field(default_factory=dict)


def races(ops: list[Op]) -> list[tuple[str, str]]:
    """The pairs of operations of which one writes what the other touches, and that neither streams
    nor events put in an order. The order is followed back from each, edge by edge."""
    before: dict[Op, set[Op]] = {}
    for op in ops:  # in the order in which they were queued: what is before is known already
        before[op] = set().union(*({b} | before.get(b, set()) for b in op.after), set())
    found = []
    for i, op in enumerate(ops):
        for earlier in ops[:i]:
            if earlier in before[op]:
                continue
            if any(
                meet(a, b)
                for mine, others in (
                    (op.writes, earlier.writes),
                    (op.writes, earlier.reads),
                    (op.reads, earlier.writes),
                )
                for a in mine
                for b in others
            ):
                found.append((earlier.name, op.name))
    return found


def meet(a: Span, b: Span) -> bool:
    return a[0] < b[1] and b[0] < a[1]
