"""Counts what becomes of events."""

from __future__ import annotations

import threading
from collections import Counter

from runtime.node.events.sink import Counters


class EventCounter:
    """Counters that several threads write.

    Args:
        sink: the name of the sink.
        carried: events that an earlier run left on disk.
    """

    def __init__(self, sink: str, carried: int = 0) -> None:
        self._sink, self._carried = sink, carried
        self._lock = threading.Lock()
        self._published = self._delivered = 0
        self._dropped: Counter[str] = Counter()
        self._set_aside, self._reason = 0, ""
        self.connected = False

    def published(self) -> None:
        """One was given to the sink."""
        with self._lock:
            self._published += 1

    def delivered(self, count: int) -> None:
        """So many have arrived."""
        with self._lock:
            self._delivered += count

    def dropped(self, reason: str, count: int) -> None:
        """So many were given up."""
        if count:
            with self._lock:
                self._dropped[reason] += count

    def set_aside(self, count: int, reason: str = "") -> None:
        """So many are set aside now, the last of them for a reason."""
        with self._lock:
            self._set_aside = count
            self._reason = reason or self._reason

    def snapshot(self) -> Counters:
        """All of them at one moment."""
        with self._lock:
            known = self._carried + self._published
            gone = self._delivered + self._dropped.total()
            return Counters(
                sink=self._sink,
                carried=self._carried,
                published=self._published,
                delivered=self._delivered,
                waiting=known - gone - self._set_aside,
                set_aside=self._set_aside,
                dropped=dict(self._dropped),
                connected=self.connected,
                reason=self._reason,
            )
