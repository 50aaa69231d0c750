"""From a stream's own time stamps to the machine's monotonic clock."""

from __future__ import annotations

DRIFT = 2e-4
"""Seconds per second by which two clocks may run apart; quartz keeps within half of it."""

WINDOW = 10.0
"""Seconds in which stamps that keep to real time agree with an arrival at least once: no hiccup of
a network lasts longer without the connection being lost."""

BEHIND, NEAR = 0.25, 0.05
"""Seconds by which an arrival may come later than its stamp says and still agree with it: of stamps
that are believed, and of those that are to be believed again."""

TRIAL, LONGEST_TRIAL = 60.0, 3600.0
"""Seconds for which stamps must agree before they are believed again, at first and at most: each
time that they are left doubles them, so a clock that is slightly off is not told of for ever."""

IDLE = 0.02
"""Share of its time that a reader which keeps up waits for data at least. One that does not has the
frames behind it, and their stamps are right to be old."""


class StreamClock:
    """Tells when a frame was captured from its stamp and the moment of its arrival.

    Frames are captured evenly and arrive unevenly: network and decoder delay some more than
    others. Arrival minus stamp is the unknown difference of the two clocks plus that delay, so its
    least value so far is the difference plus the least delay; added to a stamp it gives a time
    without the jitter. It rises by no more than clocks drift. The least delay itself cannot be
    seen; `delay` takes it off. A stamp that goes back is a new beginning.

    Stamps are foreign, and need not keep to real time: a camera counts 25 frames a second and
    delivers 21, or exposes longer by night. So they are believed while they agree with arrival
    now and then; else the moment of arrival is taken, until they have agreed for a while. A
    reader that never waits is behind by itself: its frames are old, and that is no fault of stamps.

    Attributes:
        delay: seconds from capture to the soonest arrival, as far as they are known.
        doubt: why stamps are not believed now, for a person; "" while they are.
    """

    def __init__(self, delay: float = 0.0) -> None:
        """Make one. `delay`: see the class."""
        self.delay = delay
        self.doubt = ""
        self._least = 0.0  # of arrival minus stamp, since the last beginning
        self._last: tuple[float, float] | None = None  # stamp and arrival
        self._began = 0.0  # arrival of the last beginning
        self._late_since: float | None = None  # arrival; None while stamps agree
        self._idle = 0.0  # seconds of waiting since then
        self._trial = TRIAL / 2

    def reconnect(self) -> None:
        """Stamps begin anew; a doubt stays."""
        self._last = None

    def time(self, stamp: float | None, arrival: float, waited: float = float("inf")) -> float:
        """When a frame was captured, on the clock of `arrival`; never after it.

        Args:
            stamp: of the stream, in seconds from anywhere; None where it has none.
            arrival: seconds of the monotonic clock.
            waited: seconds for which its reader waited for data since the frame before.
        """
        if stamp is None:
            return arrival - self.delay
        last, self._last = self._last, (stamp, arrival)
        if last is None:
            self._begin(stamp, arrival)
        elif stamp < last[0]:
            if not self.doubt and arrival - self._began < WINDOW:
                self._leave("they go back again and again")
            self._begin(stamp, arrival)
        else:
            self._least = min(arrival - stamp, self._least + DRIFT * (arrival - last[1]))
            # Of frames with one stamp only the first can have been captured then.
            stands = stamp == last[0]
            self._compare(stamp, arrival, waited, stands=stands)
            if stands:
                return arrival - self.delay
        return (arrival if self.doubt else stamp + self._least) - self.delay

    def _begin(self, stamp: float, arrival: float) -> None:
        self._least = arrival - stamp
        self._began = arrival
        self._late_since = None

    def _leave(self, why: str) -> None:
        self.doubt = f"its time stamps do not keep to real time ({why}): arrival counts instead"
        self._trial = min(2 * self._trial, LONGEST_TRIAL)

    def _compare(self, stamp: float, arrival: float, waited: float, *, stands: bool) -> None:
        """See whether a frame came when its stamp says."""
        late = arrival - stamp - self._least
        if not stands and late <= (NEAR if self.doubt else BEHIND):
            self._late_since = None
            if self.doubt and arrival - self._began >= self._trial:
                self.doubt = ""
            return
        if self._late_since is None:
            self._late_since, self._idle = arrival, 0.0
            return
        self._idle += waited
        lasted = arrival - self._late_since
        if lasted < WINDOW:
            return
        if not self.doubt:
            if not stands and self._idle < IDLE * lasted:
                return
            self._leave("they stand still" if stands else f"they fall behind, {late:.1f} s by now")
        self._begin(stamp, arrival)
