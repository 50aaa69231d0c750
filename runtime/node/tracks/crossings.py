"""People who cross: motion may take one for the other, and appearance says whether it did."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from runtime.node.boxes.overlap import overlaps
from runtime.node.tracks.likeness import Likeness
from runtime.node.tracks.pooling import Pooled
from runtime.node.tracks.tracker import Tracklet, corners

MEET = 0.3
"""Overlap (intersection over union) from which on two may be taken for one another."""

PART = 0.05
"""Overlap below which two are apart again."""

PATIENCE = 3.0
"""Seconds after they parted for which is waited for an embedding of both."""


@dataclass(eq=False)
class Crossing:
    """Two tracklets that met.

    Attributes:
        pair: their ids.
        began: when they met.
        changed: when they parted; until then, now.
        parted: whether they are apart again.
        asked: of which of them an embedding was asked for since then.
        evidence: by tracklet: embeddings since then.
    """

    pair: tuple[int, int]
    began: float
    changed: float
    parted: bool = False
    asked: set[int] = field(default_factory=set)
    evidence: dict[int, Pooled] = field(default_factory=dict)


class Crossings:
    """Crossings that are not decided. Embeddings of who is in one are held back until then, so that
    none is pooled with those of somebody else."""

    def __init__(self) -> None:
        self.open: list[Crossing] = []

    def look(self, time: float, tracklets: Sequence[Tracklet]) -> None:
        """See who meets and who parts.

        Args:
            time: of the moment.
            tracklets: all that are confirmed, those without a box at this moment, too.
        """
        known = {crossing.pair: crossing for crossing in self.open}
        # One that is lost may be behind the other: it is where it is expected.
        boxes = np.array([corners(t.box) if t.present else t.motion.corners for t in tracklets])
        for i, one in enumerate(tracklets[:-1]):
            shares = overlaps(boxes[i], boxes[i + 1 :])
            for other, share in zip(tracklets[i + 1 :], shares, strict=True):
                if one.present or other.present:
                    pair = (one.id, other.id)
                    self._see(time, pair, float(share), known.get(pair))

    def _see(
        self, time: float, pair: tuple[int, int], share: float, crossing: Crossing | None
    ) -> None:
        if share >= MEET and crossing is None:
            self.open.append(Crossing(pair, time, time))
        elif crossing is not None and share >= MEET:
            crossing.changed, crossing.parted = time, False
            crossing.asked.clear()
        elif crossing is not None and not crossing.parted:
            crossing.changed, crossing.parted = time, share < PART

    def holds(self, tracklet: int) -> bool:
        """Whether a tracklet is in a crossing that is not decided."""
        return any(tracklet in crossing.pair for crossing in self.open)

    def wants(self, tracklet: int) -> bool:
        """Whether an embedding of a tracklet would help to decide."""
        mine = [crossing for crossing in self.open if tracklet in crossing.pair]
        parted = all(crossing.parted for crossing in mine)
        return parted and any(tracklet not in crossing.asked for crossing in mine)

    def ask(self, tracklet: int) -> None:
        """An embedding of a tracklet was asked for."""
        for crossing in self.open:
            if tracklet in crossing.pair:
                crossing.asked.add(tracklet)

    def add(self, tracklet: int, embedded: Pooled) -> None:
        """An embedding of a tracklet that is in one."""
        for crossing in self.open:
            if tracklet in crossing.pair:
                known = crossing.evidence.get(tracklet)
                if known is None:
                    crossing.evidence[tracklet] = embedded.copy()
                elif known.space == embedded.space:
                    known.merge(embedded)

    def decided(self, time: float, alive: Mapping[int, bool]) -> list[Crossing]:
        """Crossings that can be decided now; they are not open any more.

        Args:
            time: now.
            alive: by tracklet, whether it is present, of those that there are.
        """
        done = [c for c in self.open if self._ripe(c, time, alive)]
        self.open = [c for c in self.open if c not in done]
        return done

    @staticmethod
    def _ripe(crossing: Crossing, time: float, alive: Mapping[int, bool]) -> bool:
        if any(tracklet not in alive for tracklet in crossing.pair):
            return True
        both = len(crossing.evidence) == 2
        return crossing.parted and (both or time - crossing.changed >= PATIENCE)


def exchanged(crossing: Crossing, known: Mapping[int, Pooled | None], likeness: Likeness) -> bool:
    """Whether the two were taken for one another: what was embedded since they parted is more alike
    what the other one was before, by a margin.

    Args:
        crossing: of two tracklets.
        known: by tracklet: what was pooled before they met.
        likeness: what compares.
    """
    gains = []
    for one, other in itertools.permutations(crossing.pair):
        evidence, before, its = crossing.evidence.get(one), known.get(one), known.get(other)
        if evidence is None or before is None or its is None:
            continue
        own, foreign = likeness.score(evidence, before), likeness.score(evidence, its)
        if own is not None and foreign is not None:
            gains.append(foreign - own)
    return bool(gains) and sum(gains) / len(gains) > likeness.margin
