"""What the synchronizer knows of one modality."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Annotated

import msgspec

from runtime.node.sources.frame import Item
from runtime.node.sources.triplet import Absence

SILENT = 3
"""Triplets in a row without a modality, after which it is not waited for."""

Seconds = Annotated[float, msgspec.Meta(gt=0)]


class TrackTiming(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How frames are matched.

    Attributes:
        tolerance: seconds that the frames of a triplet may lie off its earliest. Less than half a
            period where sensors are triggered together, so that a lost frame is seen; at least
            half the period of the slowest where they are not, or differ in rate.
        patience: seconds for which a frame is held for its partners. More than the period of the
            slowest sensor and than the differences of what cameras take to deliver.
        silence: seconds without any frame after which an empty triplet says so.
    """

    tolerance: Seconds = 0.015
    patience: Seconds = 0.2
    silence: Seconds = 1.0


@dataclass
class Track:
    """The frames of one modality that are held, and what became of those before.

    Attributes:
        held: frames that are in no triplet yet, each with the time of its arrival.
        newest: capture time of the last frame that was taken in.
        interval: between its frames in seconds; rather too short than too long.
        used: the last frame that is in a triplet.
        arrived: when the last frame came, whatever became of it.
        lateness: of the last frame, if that was late.
        misses: triplets in a row without it.
        strays: frames in a row that were out of step.
        silent: it is not waited for.
    """

    held: deque[tuple[Item, float]] = field(default_factory=deque)
    newest: float | None = None
    interval: float = 0.0
    used: Item | None = None
    arrived: float | None = None
    lateness: float | None = None
    misses: int = 0
    strays: int = 0
    silent: bool = False

    @property
    def head(self) -> Item | None:
        """The earliest frame that is held."""
        return self.held[0][0] if self.held else None

    def take_in(self, item: Item, now: float) -> None:
        """Hold a frame that came at `now`."""
        self.held.append((item, now))
        if self.newest is not None:
            gap = item.time - self.newest
            # A gap in which frames were lost must not be taken for the pace at once.
            self.interval = min(gap, 1.1 * self.interval) if self.interval else gap
        self.newest = item.time
        self.silent = False

    def partner(self, time: float, timing: TrackTiming) -> Item | None:
        """The frame for the triplet of `time`: the earliest that is held, else the last used."""
        choices = (item for item in (self.head, self.used) if item is not None)
        return next((x for x in choices if abs(x.time - time) <= timing.tolerance), None)

    def awaited(self, time: float, timing: TrackTiming) -> bool:
        """Whether a frame may still come that is better for the triplet of `time` than none.

        Where the last frame of a slow sensor will do, the next one is awaited only if it is due.
        """
        if self.held or self.silent:
            return False
        if self.used is None or self.used.time < time - timing.tolerance:
            return True
        return self.used.time + 0.8 * self.interval <= time + timing.tolerance

    def absence(self, time: float, now: float, timing: TrackTiming) -> Absence:
        """Why there is no frame at `time`."""
        if self.arrived is None:
            return Absence("absent", "no frame has come yet")
        if self.lateness is not None and now - self.arrived < timing.silence:
            return Absence(
                "stale",
                f"its frames come {self.lateness:.2f} s after their capture, and others are "
                f"waited for {timing.patience:g} s at most",
            )
        if self.head is None:
            return Absence("absent", f"no frame has come for {now - self.arrived:.2f} s")
        near = [x.time for x in (self.head, self.used) if x is not None]
        apart = min(abs(x - time) for x in near) * 1e3
        if self.misses < SILENT:
            return Absence("absent", f"a frame is missing: the nearest is {apart:.0f} ms off")
        allowed = timing.tolerance * 1e3
        return Absence(
            "out of step",
            f"its nearest frame was captured {apart:.0f} ms off; {allowed:g} ms are allowed",
        )
