"""People of a gallery who are nearer to each other than strangers are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from runtime.gallery.base import Enrolment, Gallery, Match
from runtime.gallery.describe import FALSE_MATCH_RATE
from runtime.gallery.scores import Scores
from runtime.gallery.space import Space

MOST = 1000
"""Enrolments that are looked at: among 100,000 entries these take 5 s."""

TOGETHER = 64
"""Enrolments of one search."""

NAMED = 3
"""Pairs that are named."""


@dataclass(frozen=True)
class NearPair:
    """Somebody who was enrolled, and somebody else who would be taken for them.

    Attributes:
        identity: who was enrolled.
        other: the nearest other identity.
        cosine: of the two entries.
        rate: the false-match rate at which they still match; 0 stands for less than can be told.
    """

    identity: str
    other: str
    cosine: float
    rate: float


@dataclass(frozen=True)
class Confusable:
    """What was found among enrolments.

    Attributes:
        pairs: the nearest first; each two people once.
        rate: at which they match.
        people: enrolled, who were looked at.
        near: how many of these have somebody else as near.
        expected: how many of the enrolments would have by chance, were all as strangers are.
    """

    pairs: tuple[NearPair, ...]
    rate: float
    people: int
    near: int
    expected: float

    def lines(self) -> list[str]:
        """For a person; none where nobody is too near."""
        if not self.pairs:
            return []
        said = [
            f"warning: {pair.identity} and {pair.other} are nearer to each other than all but "
            f"{self.rate:.2g} of strangers are (cosine {pair.cosine:.3f})"
            for pair in self.pairs[:NAMED]
        ]
        return [
            *said,
            f"warning: {self.near} of {self.people} people have somebody so near, where chance "
            f"would give {self.expected:.2g}; a node takes them for one another at "
            f"gallery.fmr = {self.rate:.2g}: see whether two names are one person and the images "
            "are good; if so, calibrate on data of your own cameras (`denet gallery calibrate`)",
        ]


def find_confusable(
    gallery: Gallery, space: Space, enrolments: Sequence[Enrolment], scores: Scores
) -> Confusable:
    """Look for people who are nearer to others than strangers are to each other.

    Args:
        gallery: has the enrolments already.
        space: of the embeddings.
        enrolments: that are new; of very many, `MOST` that lie evenly among them.
        scores: tell how alike strangers are.

    Raises:
        GalleryError: the gallery cannot be read, or a pair of states was not measured.
    """
    rate = max(FALSE_MATCH_RATE, scores.least_rate)
    least = scores.threshold(rate)
    step = -(-len(enrolments) // MOST) or 1
    looked = enrolments[::step]
    pairs: dict[frozenset[str], NearPair] = {}
    for start in range(0, len(looked), TOGETHER):
        some = looked[start : start + TOGETHER]
        found = gallery.search(
            space,
            np.stack([e.embedding for e in some]),
            [e.state for e in some],
            top=2,  # of which one may be the person
            scores=scores,
        )
        for enrolment, matches in zip(some, found, strict=True):
            other = next((m for m in matches if m.identity != enrolment.identity), None)
            if other is not None and other.score >= least:
                _keep(pairs, enrolment.identity, other, scores)
    people = {e.identity for e in looked}
    near = people & {name for pair in pairs for name in pair}
    expected = 0.0
    if pairs:
        names = [entry.identity for entry in gallery.entries()]
        own = Counter(names)
        strangers = sum(len(names) - own[e.identity] for e in looked)
        expected = min(len(people), rate * strangers)
    ordered = sorted(pairs.values(), key=lambda pair: (pair.rate, -pair.cosine))
    return Confusable(tuple(ordered), rate, len(people), len(near), expected)


def _keep(
    pairs: dict[frozenset[str], NearPair], identity: str, other: Match, scores: Scores
) -> None:
    rate = float(10.0**-other.score)
    found = NearPair(
        identity, other.identity, other.cosine, rate if rate >= scores.least_rate else 0.0
    )
    key = frozenset((identity, other.identity))
    if key not in pairs or (found.rate, -found.cosine) < (pairs[key].rate, -pairs[key].cosine):
        pairs[key] = found
