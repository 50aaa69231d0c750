"""How far things are: from parts that tell of a step to whoever is told of the whole."""

from __future__ import annotations

from collections.abc import Callable

Whole = Callable[[str, int, int], None]
"""(what is done, how much of it is done, of how much)."""


def counted(notify: Whole, what: str, total: int) -> Callable[[int], None]:
    """What tells `notify` of the whole, when told of so many more that are done."""
    done = 0

    def add(more: int) -> None:
        nonlocal done
        done += more
        notify(what, done, total)

    return add


def stepwise(notify: Whole, total: int) -> Callable[[str], None]:
    """What tells `notify` of the whole, when told of each of `total` steps."""
    done = 0

    def step(what: str) -> None:
        nonlocal done
        done += 1
        notify(what, done, total)

    return step
