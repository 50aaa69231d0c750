"""Where somebody went, in a bounded number of places."""

from __future__ import annotations

from runtime.node.boxes.box import Box

Place = tuple[float, float, float]
"""Time, and x and y of the middle of the lower edge of the box: where somebody stands."""

INTERVAL = 0.2
"""Seconds between two places, as long as there is room."""


class Path:
    """Places at even intervals; when there is no more room every other one goes and the interval
    doubles. The first and the last are always there.

    Args:
        most: places at most.
    """

    def __init__(self, most: int) -> None:
        self._most, self._interval = most, INTERVAL
        self._places: list[Place] = []
        self._last: Place | None = None

    def add(self, time: float, box: Box) -> None:
        """Somebody was there."""
        place = (time, (box.left + box.right) / 2, box.bottom)
        self._last = place
        if self._places and time - self._places[-1][0] < self._interval:
            return
        self._places.append(place)
        if len(self._places) >= self._most:
            self._places = self._places[::2]
            self._interval *= 2

    @property
    def places(self) -> list[Place]:
        """In their order."""
        if self._last is None or self._last == self._places[-1]:
            return list(self._places)
        return [*self._places, self._last]

    def since(self, time: float) -> list[Place]:
        """Give up the places after a time, and return them."""
        gone = [place for place in self.places if place[0] > time]
        self._places = [place for place in self._places if place[0] <= time]
        self._last = self._places[-1] if self._places else None
        return gone

    def extend(self, places: list[Place]) -> None:
        """Take places in that another one gave up."""
        for place in places:
            self._places.append(place)
            self._last = place
        while len(self._places) >= self._most:
            self._places = self._places[::2]
            self._interval *= 2
