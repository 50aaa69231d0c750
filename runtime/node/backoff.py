"""How long to wait before something is tried again."""

from __future__ import annotations

import random


class Backoff:
    """Waits that double up to a ceiling, each shortened at random.

    Chance keeps three cameras behind one switch, which fail in the same second, from coming back
    in the same second for ever. There is no last try: a camera may be mended next year.
    """

    def __init__(
        self, first: float = 0.5, ceiling: float = 30.0, chance: random.Random | None = None
    ) -> None:
        """Make one.

        Args:
            first: the longest first wait in seconds.
            ceiling: the longest wait in seconds.
            chance: where the shortening is drawn from.
        """
        self.first, self.ceiling = first, ceiling
        self.tries = 0
        self._chance = chance or random.Random()

    def next(self) -> float:
        """Seconds to wait now: between half of the present longest wait and all of it."""
        # The exponent is held down: a float overflows after a thousand tries.
        longest = min(self.first * 2.0 ** min(self.tries, 32), self.ceiling)
        self.tries += 1
        return longest * self._chance.uniform(0.5, 1.0)

    def reset(self) -> None:
        """A connection has held: the next loss begins anew."""
        self.tries = 0
