"""When the frames of recordings are due: one beginning for all that are replayed together."""

from __future__ import annotations

import threading
import time

LEAD = 0.1
"""Seconds from the first request to the first frame: all modalities are ready by then."""


class Start:
    """The moment at which recordings begin, fixed by whoever asks first.

    Args:
        lead: seconds from then to the first frame.
    """

    def __init__(self, lead: float = LEAD) -> None:
        self._lead = lead
        self._time: float | None = None
        self._lock = threading.Lock()

    def time(self) -> float:
        """Seconds of the monotonic clock."""
        with self._lock:
            if self._time is None:
                self._time = time.monotonic() + self._lead
            return self._time
