"""Who was here a while ago: a gallery in memory that forgets."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from runtime.node.tracks.likeness import Likeness
from runtime.node.tracks.pooling import Pooled


@dataclass
class _Recent:
    pooled: Pooled
    label: str
    seen: float


class Recents:
    """People who left, with what is pooled of them.

    Args:
        most: how many at most; who left first goes.
        seconds: for which each is remembered.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._most, self._seconds = most, seconds
        self._known: dict[str, _Recent] = {}

    def __len__(self) -> int:
        return len(self._known)

    def left(self, person: str, pooled: Pooled, label: str, time: float) -> None:
        """Somebody left: remember, along with what was known before."""
        known = self._known.pop(person, None)
        kept = pooled.copy()
        if known is not None and known.pooled.space == pooled.space:
            kept.merge(known.pooled)
        self._known[person] = _Recent(kept, label, time)
        self.expire(time)
        while len(self._known) > self._most:
            self._known.pop(next(iter(self._known)))

    def find(
        self, pooled: Pooled, label: str, likeness: Likeness, but: Container[str]
    ) -> str | None:
        """Who it is, if it is somebody who left.

        Args:
            pooled: of who is to be known.
            label: class.
            likeness: what compares.
            but: who cannot be it.
        """
        best: tuple[float, str] | None = None
        for person, recent in self._known.items():
            if person in but or recent.label != label:
                continue
            score = likeness.score(pooled, recent.pooled)
            if score is not None and likeness.same(score) and (best is None or score > best[0]):
                best = score, person
        return None if best is None else best[1]

    def expire(self, time: float) -> None:
        """Forget who left too long ago."""
        gone = [p for p, recent in self._known.items() if time - recent.seen > self._seconds]
        for person in gone:
            del self._known[person]
