"""Whether two tracks show one person, by their pooled embeddings."""

from __future__ import annotations

import numpy as np

from denet.graph import State
from runtime.gallery import GalleryError, Scores
from runtime.node.tracks.pooling import Pooled
from runtime.node.tracks.settings import TrackSettings

USUAL_RATE = 0.01
"""False-match rate at which two tracks of one node are one person, and at which it is measured what
a state tells."""

LEAST_WEIGHT = 0.05
"""Of a state that tells nothing: it is still better than none."""

MARGINS = {True: 0.5, False: 0.05}
"""By which two people who crossed must be more alike the other way round: of scores, of cosines."""


class Likeness:
    """Compares what is pooled, in one space.

    With `Scores` every pair of states that was measured counts, each by its own false-match rates;
    without, a cosine means something only within one state, and others are not compared.

    Args:
        scores: calibrated; None for cosines.
        least: score, or cosine, from which on two are one person; None to compare nobody.
        rate: at which it is asked what a state tells.
    """

    def __init__(
        self, scores: Scores | None, least: float | None, rate: float = USUAL_RATE
    ) -> None:
        self._scores, self._least, self._rate = scores, least, rate
        self._weights: dict[State, float] | None = None

    @property
    def margin(self) -> float:
        """By which two who crossed must be more alike the other way round."""
        return MARGINS[self._scores is not None]

    def score(self, one: Pooled, other: Pooled) -> float | None:
        """How alike two are: the mean over pairs of states, by the weights of their sightings; None
        where nothing of them can be compared.
        """
        total = weight = 0.0
        if self._least is None or one.space != other.space:
            return None
        for s in one.sums:
            for t in other.sums:
                found = self._of_states(s, t, one.mean_cosine(s, other, t))
                if found is not None:
                    both = one.weights[s] * other.weights[t]
                    total += both * found
                    weight += both
        if not weight:
            return None
        return total / weight

    def same(self, score: float | None) -> bool:
        """Whether a score is that of one person."""
        return score is not None and self._least is not None and score >= self._least

    def weight(self, state: State) -> float:
        """What a sighting in a state tells, of 0 to 1: its share of genuine pairs that are found at
        the rate, beside the most telling state. 1 without scores."""
        if self._scores is None:
            return 1.0
        if self._weights is None:
            self._weights = _telling(self._scores, self._rate)
        return self._weights.get(state, LEAST_WEIGHT)

    def _of_states(self, s: State, t: State, cosine: float) -> float | None:
        if self._scores is None:
            return cosine if s == t else None
        try:
            return float(self._scores.score(s, t, np.array([cosine], np.float32))[0])
        except GalleryError:  # this pair was not measured
            return None


def open_likeness(settings: TrackSettings, scores: Scores | None) -> Likeness:
    """What the configuration says.

    Args:
        settings: of tracks.
        scores: by which they are compared; None for cosines.

    Raises:
        GalleryError: the scores cannot tell such a rate, or there are none to tell it.
    """
    if scores is None and settings.fmr is not None:
        raise GalleryError(
            "fmr: neither is a file of scores named nor does the bundle carry any: have it carry "
            "them (`denet gallery calibrate BUNDLE DATA`), or take tracks.threshold, a cosine"
        )
    if scores is None:
        return Likeness(None, settings.threshold)
    rate = USUAL_RATE if settings.fmr is None else settings.fmr
    return Likeness(scores, scores.threshold(rate), rate)


def _telling(scores: Scores, rate: float) -> dict[State, float]:
    shares = scores.found(rate)
    states = dict.fromkeys(query for query, _ in shares)
    means = {s: float(np.mean([x for (q, _), x in shares.items() if q == s])) for s in states}
    most = max(means.values()) or 1.0
    return {s: max(LEAST_WEIGHT, mean / most) for s, mean in means.items()}
