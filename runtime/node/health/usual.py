"""What is usual of a stream: learned from what it shows, unlearned when it shows another thing."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")

LEAST, FRAMES = 1.0, 5
"""Seconds and frames that another thing must last to become usual, however short the usual one was
seen."""

GAP = 1.0
"""Seconds between two frames that count at most: what a pause hides is not known."""


class Usual(Generic[T]):
    """The usual one of the values that a stream shows.

    The first is usual to begin with. Another becomes it when it has been there for as long as the
    usual one was seen before, from one second to a limit; so one odd frame, the first one
    included, fixes nothing.
    """

    def __init__(
        self, seconds: float, value: T | None = None, *, fixed_after: float = float("inf")
    ) -> None:
        """Make one.

        Args:
            seconds: the limit.
            value: that is usual from the beginning; None for the first that is seen.
            fixed_after: seconds that a value must have been seen to be usual for good.
        """
        self._limit, self._fixed_after = seconds, fixed_after
        self._value = value
        self._seen = 0.0  # seconds of the usual value
        self._other = 0.0  # seconds of others, less what the usual ones make good
        self._frames = 0  # of others, since these began
        self._last: float | None = None  # time of the frame before

    @property
    def value(self) -> T | None:
        """The usual one; None before the first."""
        return self._value

    def sees(self, value: T, time: float, *, amends: float = 1.0) -> bool:
        """Whether a frame shows what is usual.

        Args:
            value: that it shows.
            time: of its capture.
            amends: seconds of another value that a second of the usual one makes good.
        """
        passed = 0.0 if self._last is None else min(max(time - self._last, 0.0), GAP)
        self._last = time
        if self._value is None:
            self._value = value
        if value == self._value:
            self._seen += passed
            self._other = max(self._other - amends * passed, 0.0)
            self._frames = self._frames if self._other else 0
            return True
        self._other += passed
        self._frames += 1
        lasted = self._frames >= FRAMES and self._other >= min(self._limit, max(self._seen, LEAST))
        if not lasted or self._seen >= self._fixed_after:
            return False
        self._value, self._seen, self._other, self._frames = value, 0.0, 0.0, 0
        return True
