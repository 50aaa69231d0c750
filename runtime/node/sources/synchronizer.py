"""Matches the frames of several sensors by the moment of their capture.

A triplet begins with the earliest frame that is held, and takes from every other modality its
earliest, if that is within the tolerance. It is given out once no such frame can come: every
modality holds one, or is known to be silent, or the patience is over. So frames that are early
are held, and ones that are late are given up.

- **Sensors at different rates.** Triplets follow the fastest. A slower one's last frame serves
  again, as long as it is within the tolerance and no newer one is.
- **A sensor out of step**, whose frames lie between the others': the frames of the larger group
  make triplets (of groups of equal size the one that has the first of all modalities), and what it
  gives is dropped and counted.
- **A silent sensor** is not waited for again until a frame of it comes that could have been.

Nothing here reads a clock, so a test or a recording gives the same triplets every time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Literal

from denet.graph import Modality
from runtime.node.sources.frame import Item
from runtime.node.sources.track import SILENT, Track, TrackTiming
from runtime.node.sources.triplet import Triplet

Drop = Literal["late", "disordered", "ahead", "out of step", "overflow"]
"""Why a frame is in no triplet:

- late: it came after the triplet of its moment was given out.
- disordered: it was captured no later than the frame of its modality that came before it.
- ahead: it claims to be captured later than now.
- out of step: see above.
- overflow: too many of its modality were held.
"""

HELD = 64
"""Frames of one modality that are held at most."""


class Synchronizer:
    """Frames in, triplets out, and every frame accounted for.

    At any time, for each modality: `received` = `used` + `dropped` + what is held.

    Attributes:
        received: frames that were pushed, by modality.
        used: frames that are in a triplet, by modality.
        dropped: the others, by modality and reason.
    """

    def __init__(self, modalities: Iterable[Modality], timing: TrackTiming | None = None) -> None:
        """Make one.

        Args:
            modalities: that frames may come from; the first of them goes before the others.
            timing: how they are matched.
        """
        self.timing = timing or TrackTiming()
        self._tracks = {m: Track() for m in modalities}
        self._horizon = float("-inf")  # the time of the last triplet
        self._spoke: float | None = None  # when a triplet was last given out
        self.received: Counter[Modality] = Counter()
        self.used: Counter[Modality] = Counter()
        self.dropped: Counter[tuple[Modality, Drop]] = Counter()

    @property
    def held(self) -> Counter[Modality]:
        """How many frames of each modality wait for their partners."""
        return Counter({m: len(track.held) for m, track in self._tracks.items()})

    def push(self, item: Item, now: float) -> None:
        """Take in a frame.

        Args:
            item: the frame.
            now: seconds of the monotonic clock; never less than before.
        """
        track = self._tracks[item.modality]
        self.received[item.modality] += 1
        track.arrived = now
        drop = self._unfit(track, item, now)
        track.lateness = now - item.time if drop == "late" else None
        if drop is not None:
            self.dropped[item.modality, drop] += 1
            # It could have been waited for.
            if drop == "late" and self._horizon - item.time <= self.timing.patience:
                track.silent = False
            return
        if len(track.held) == HELD:
            track.held.popleft()
            self.dropped[item.modality, "overflow"] += 1
        track.take_in(item, now)

    def poll(self, now: float) -> list[Triplet]:
        """The triplets that are complete, or that nothing more is waited for."""
        if self._spoke is None:
            self._spoke = now
        found = []
        while (first := self._first()) is not None and self._settled(first, now):
            found += self._next(first, now)
        if found:
            self._spoke = now
        elif now - self._spoke >= self.timing.silence:
            self._spoke = now
            absent = {m: track.absence(now, now, self.timing) for m, track in self._tracks.items()}
            found.append(Triplet(now, {}, absent))
        return found

    def flush(self, now: float) -> list[Triplet]:
        """The triplets of all frames that are held: nothing more will come."""
        found = []
        while (first := self._first()) is not None:
            found += self._next(first, now)
        return found

    def _unfit(self, track: Track, item: Item, now: float) -> Drop | None:
        if item.time < self._horizon:
            return "late"
        if track.newest is not None and item.time <= track.newest:
            return "disordered"
        return "ahead" if item.time > now + self.timing.patience else None

    def _first(self) -> Modality | None:
        """The modality that holds the earliest frame."""
        heads = [(h.time, m) for m, track in self._tracks.items() if (h := track.head) is not None]
        return min(heads, key=lambda head: head[0])[1] if heads else None

    def _settled(self, first: Modality, now: float) -> bool:
        """Whether nothing that may come could change the triplet of the earliest frame."""
        head, arrived = self._tracks[first].held[0]
        return now - arrived >= self.timing.patience or not any(
            track.awaited(head.time, self.timing) for track in self._tracks.values()
        )

    def _next(self, first: Modality, now: float) -> list[Triplet]:
        """The triplet of the earliest frame; none if that is out of step."""
        head = self._tracks[first].held[0][0]
        frames = {
            m: item
            for m, track in self._tracks.items()
            if (item := track.partner(head.time, self.timing)) is not None
        }
        track = self._tracks[first]
        if self._outranked(frames):
            track.strays += 1
            # The first may be alone because the others each lost a frame.
            if track.strays > 1:
                track.held.popleft()
                self.dropped[first, "out of step"] += 1
                return []
        elif len(frames) > 1:
            track.strays = 0
        self._horizon = head.time
        absent = {}
        for m, each in self._tracks.items():
            if m not in frames:
                each.misses += 1
                each.silent = each.misses >= SILENT and not each.held
                absent[m] = each.absence(head.time, now, self.timing)
                continue
            each.misses = 0
            if each.head is frames[m]:
                each.held.popleft()
                each.used = frames[m]
                self.used[m] += 1
        return [Triplet(head.time, frames, absent)]

    def _outranked(self, frames: Collection[Modality]) -> bool:
        """Whether modalities that are not in a triplet, but deliver, make a better one."""
        others = {
            m: head.time
            for m, track in self._tracks.items()
            if m not in frames and (head := track.head) is not None
        }
        groups: list[list[Modality]] = [
            [n for n in others if 0 <= others[n] - others[m] <= self.timing.tolerance]
            for m in others
        ]
        return any(self._rank(group) > self._rank(frames) for group in groups)

    def _rank(self, group: Collection[Modality]) -> tuple[int, int]:
        """Larger groups first, then those with the first modality."""
        return len(group), -next(i for i, m in enumerate(self._tracks) if m in group)
