"""A clock that goes as a test wants, for what takes times."""

from __future__ import annotations

from collections.abc import Callable


class Tick:
    """A clock that goes on by `step` seconds whenever it is read, and by what a side takes."""

    def __init__(self, step: float = 0.0) -> None:
        self.step, self.now = step, 0.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now

    def side(self, seconds: Callable[[], float]) -> Callable[[], None]:
        """Something that takes as long as `seconds` tells each time."""

        def run() -> None:
            self.now += seconds()

        return run
