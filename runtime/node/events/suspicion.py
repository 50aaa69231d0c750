"""Which letter a connection broke on, and whether the letter is to blame or the broker.

A broker that is away breaks connections, too, so nothing is concluded from that alone:

- Letters that were on their way together when a connection broke are sent again one by one.
- One that was alone on its way when that happened, twice, is suspect: from then on another letter
  goes before it. If no other gets through either, it is the broker, and nobody is blamed.
- A break counts as proven if the broker has just taken another event of the same connection.
  A letter with five of these is to be set aside.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

SUSPECT = 2
"""Breaks of a letter that was alone on its way, after which others go before it."""

PROVEN = 5
"""Proven breaks after which a letter is set aside."""

STATUS = 0
"""Stands for the status of the node, which is no event: that it arrives proves nothing of events.
Events have numbers above it."""


class Suspicion:
    """Remembers what broke; letters are known by their numbers, which rise."""

    def __init__(self) -> None:
        self._breaks: Counter[int] = Counter()
        self._proven: Counter[int] = Counter()
        self._together = STATUS  # the last of those that were on their way when it broke
        self.taken = False

    @property
    def careful(self) -> bool:
        """Whether letters go one by one."""
        return bool(self._breaks) or self._together > STATUS

    def of(self, number: int) -> bool:
        """Whether this letter is suspect."""
        return self._breaks[number] >= SUSPECT

    def connected(self) -> None:
        """A connection begins."""
        self.taken = False

    def arrived(self, number: int) -> None:
        """The broker has taken this letter."""
        self.taken = self.taken or number > STATUS
        self.forget(number)
        if number >= self._together:
            self._together = STATUS

    def broke(self, numbers: Collection[int]) -> int | None:
        """The connection broke while these letters were on their way.

        Returns:
            One that is to be set aside; None if there is none.
        """
        if len(numbers) != 1:
            self._together = max([self._together, *numbers])
            return None
        (number,) = numbers
        self._breaks[number] += 1
        self._proven[number] += self.taken
        return number if self._proven[number] >= PROVEN else None

    def forget(self, number: int) -> None:
        """This letter is out of the way."""
        self._breaks.pop(number, None)
        self._proven.pop(number, None)
