"""Whether the clocks of nodes agree with ours, by when their events come.

An event from the future has a clock that is ahead. An old one may have waited in an outbox: a clock
is behind only if all events come late, for as long as no outbox takes to be emptied.
"""

from __future__ import annotations

from dataclasses import dataclass

TOLERANCE = 60.0
"""Seconds by which clocks may differ."""

SETTLED = 300.0
"""Seconds for which all events of a node must come late."""

ENOUGH = 5
"""Events of that time, at least."""


@dataclass
class _Clock:
    since: float = 0.0  # all events came late
    count: int = 0
    least: float = 0.0  # of them
    told: str = ""


class NodeClocks:
    """Remembers how late the events of each node come."""

    def __init__(self) -> None:
        self._clocks: dict[str, _Clock] = {}

    def look(self, node: str, time: float, now: float) -> str | None:
        """What is to be told of a clock when an event comes; None if there is nothing new.

        Args:
            node: whose event.
            time: of the event, by the node's clock.
            now: by ours; both in seconds since 1970.
        """
        clock = self._clocks.setdefault(node, _Clock())
        late = now - time
        if late < -TOLERANCE:
            clock.count = 0
            return self._tell(
                clock, "ahead", f"{node}: its clock is {_span(-late)} ahead of this machine's"
            )
        if late <= TOLERANCE:
            clock.count = 0
            return self._tell(clock, "", f"{node}: its clock agrees with this machine's again")
        if clock.count == 0:
            clock.since, clock.least = now, late
        clock.count += 1
        clock.least = min(clock.least, late)
        if clock.count < ENOUGH or now - clock.since < SETTLED:
            return None
        return self._tell(
            clock,
            "behind",
            f"{node}: each of its events comes {_span(clock.least)} or more after its time: its "
            "clock is behind, or they are held up on their way",
        )

    @staticmethod
    def _tell(clock: _Clock, what: str, text: str) -> str | None:
        before, clock.told = clock.told, what
        if what == before:
            return None
        if what:
            text += "; its events are kept with the times that it tells: set its clock (NTP)"
        return text


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
