"""From a stream's own time stamps to the machine's monotonic clock."""

from __future__ import annotations

DRIFT = 2e-4
"""Seconds per second by which two clocks may run apart; quartz keeps within half of it."""


class StreamClock:
    """Tells when a frame was captured from its stamp and the moment of its arrival.

    Frames are captured evenly and arrive unevenly: network and decoder delay some more than
    others. Arrival minus stamp is the unknown difference of the two clocks plus that delay, so its
    least value so far is the difference plus the least delay; added to a stamp it gives a time
    without the jitter. It rises by no more than clocks drift: a stream that falls behind grows
    old, and is not taken for a clock that runs slow. The least delay itself cannot be seen;
    `delay` takes it off. A stamp that goes back is a new beginning.
    """

    def __init__(self, delay: float = 0.0) -> None:
        """Make one.

        Args:
            delay: seconds from capture to the soonest arrival, as far as they are known.
        """
        self.delay = delay
        self._least = 0.0
        self._last: tuple[float, float] | None = None  # stamp and arrival

    def time(self, stamp: float | None, arrival: float) -> float:
        """When a frame was captured, on the clock of `arrival`; never after it.

        Args:
            stamp: of the stream, in seconds from anywhere; None where it has none.
            arrival: seconds of the monotonic clock.
        """
        if stamp is None:
            return arrival - self.delay
        offset = arrival - stamp
        if self._last is None or stamp < self._last[0]:
            self._least = offset
        else:
            self._least = min(offset, self._least + DRIFT * (arrival - self._last[1]))
        self._last = stamp, arrival
        return stamp + self._least - self.delay
