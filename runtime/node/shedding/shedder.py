"""How much may be spent on a crop, by how many come."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from denet.graph import State
from runtime.node.shedding.table import ShedTable, StateChoice

WINDOW = 0.5
"""Seconds over which crops are counted."""

FULL = 0.85
"""Share of the time that may be spent on engines, at most."""

CALM = 0.7
"""Share that the next dearer choice would have to leave free, before it is taken again ..."""

HOLD = 5.0
"""... and seconds for which it would have done so."""

SLOWEST = 8.0
"""How many times slower than measured this machine is taken to be, at most."""

RECENT = 0.2
"""Weight of the newest batch in how much slower it is."""


class Shedder:
    """Chooses what runs in the place of what is healthy.

    Seconds that may be spent on a crop fall at once when more crops come than there is time for,
    and rise again when there has been time for a while.

    Args:
        notify: told when it begins to leave out modalities, and (with "") when it ends.
    """

    def __init__(self, notify: Callable[[str], None]) -> None:
        self._notify = notify
        self._seen: tuple[float, int] | None = None
        self._allowed = float("inf")  # seconds of a crop, as they were measured
        self._calm: float | None = None  # since when more could be spent
        self._slower = 1.0
        self._rate = 0.0
        self._told = False

    def look(self, table: ShedTable, came: int, now: float) -> None:
        """See how much may be spent from now on.

        Args:
            table: what may run.
            came: crops so far that were to be embedded.
            now: seconds.
        """
        if self._seen is None:
            self._seen = now, came
            return
        since, before = self._seen
        if now - since < WINDOW:
            return
        self._seen = now, came
        self._rate = (came - before) / (now - since)
        busy = self._rate * self._slower
        most = FULL / busy if busy else float("inf")
        if most < self._allowed:
            dearest = max(choices[0].cost for choices in table.values())
            self._calm = None
            if most < dearest:
                self._allowed = most
            return
        calm = CALM / busy if busy else float("inf")
        if calm <= self._allowed or self._allowed == float("inf"):
            self._calm = None
            return
        if self._calm is None:
            self._calm = now
        elif now - self._calm >= HOLD:
            self._calm = None
            self._allowed = self._next(table, calm)
            if self._allowed == float("inf") and self._told:
                self._told = False
                self._notify("")

    def choose(self, table: ShedTable, healthy: State) -> State:
        """What runs of what is healthy: the best that may be spent. If there is time for none, some
        crops are dropped in any case, and that runs which is worth most for its time."""
        choices = table[healthy]
        most = max(reversed(choices), key=lambda choice: choice.worth / choice.cost)
        chosen = next((c for c in choices if c.cost <= self._allowed), most).state
        if chosen != healthy and not self._told:
            self._told = True
            self._notify(f"{self._rate:.0f} crops/s: {healthy.name} as {chosen.name}")
        return chosen

    def took(self, table: ShedTable, states: Sequence[State], seconds: float) -> None:
        """A batch in these states took so long."""
        expected = sum(self._cost(table, state) for state in states)
        if expected > 0:
            slower = min(max(seconds / expected, 1.0), SLOWEST)
            self._slower += RECENT * (slower - self._slower)

    def _next(self, table: ShedTable, calm: float) -> float:
        """The least cost above what is allowed: one step at a time; infinite where there is no
        step left."""
        above = {c.cost for choices in table.values() for c in choices if c.cost > self._allowed}
        if not above:
            return float("inf")
        step = min(above)
        if step > calm:
            return self._allowed
        return float("inf") if len(above) == 1 else step

    @staticmethod
    def _cost(table: ShedTable, state: State) -> float:
        own: StateChoice = table[state][0]
        return own.cost
