"""For how long a stream usually shows the same picture: a coder's key frames, a slow sensor."""

from __future__ import annotations

from runtime.node.health.limits import Limits

KNOWN = 3
"""Rests from which the usual one is known, if they are as long together as one may be at most: a
coder refines a still picture in several short steps."""

TIMES = 3.0
"""By how many times the longest usual rest may be exceeded."""

HALF = 3600.0
"""Seconds of further rests in which half of the longest is forgotten."""

SETTLED = 300.0
"""Seconds of rests with hardly a picture in between, after which noise that was learned before is
no longer the stream's: by night, say, when all of it is coded away."""


class Rests:
    """The stretches of equal pictures in a stream, and what lies between them.

    A key frame is a picture, or a few, between two rests. Something that moves is many, and says
    nothing of the coder.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._few = limits.repeat_frames
        self._run = self._few + 1  # new pictures since the last rest; as if it had been long ago
        self._count = 0
        self._total = 0.0  # seconds of rests
        self._usual = 0.0  # the longest of them
        self._settled = 0.0  # seconds of rests in a row with few pictures between them

    @property
    def moves(self) -> bool:
        """Whether more new pictures came in a row than a key frame makes: they show the noise."""
        return self._run > self._few

    @property
    def longest(self) -> float:
        """Seconds for which the stream may show the same."""
        limits = self._limits
        if self._count < KNOWN or self._total < limits.quiet_most:
            return limits.quiet_most
        return min(max(TIMES * self._usual, limits.quiet_seconds), limits.quiet_most)

    def end(self, frames: int, seconds: float) -> bool:
        """A new picture came.

        Args:
            frames: that repeated the picture before it.
            seconds: for which they did.

        Returns:
            Whether the stream has settled to rests, and what was known of its noise is void.
        """
        settled = False
        if frames >= self._few:
            if self._run <= self._few:
                self._count += 1
                self._total += seconds
                self._usual = max(seconds, self._usual * 0.5 ** (seconds / HALF))
                self._settled += seconds
                settled = self._settled >= SETTLED
            if settled or self._run > self._few:
                self._settled = 0.0
            self._run = 0
        self._run += 1
        return settled
