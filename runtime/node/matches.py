"""Whom the gallery knew lately."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

from runtime.node.announcer import Sighting, since_1970
from runtime.node.events import EventMatch
from runtime.node.status import Seen

KEPT = 20
"""Matches that are shown."""


class Matches:
    """Remembers the last matches of all heads.

    Attributes:
        counts: of all that there were, by head.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._last: deque[Seen] = deque(maxlen=KEPT)

    def add(self, head: str, sighting: Sighting) -> None:
        """A person was embedded, and may be known."""
        if sighting.match is not None:
            self.add_track(head, sighting, sighting.match)

    def add_track(self, head: str, sighting: Sighting, match: EventMatch) -> None:
        """The gallery knows somebody in a track.

        Args:
            head: whose it is.
            sighting: the last of it.
            match: whom.
        """
        self.counts[head] += 1
        self._last.appendleft(Seen(since_1970(sighting.time), sighting.state, match, head))

    @property
    def last(self) -> Sequence[Seen]:
        """The newest first."""
        return tuple(self._last)
