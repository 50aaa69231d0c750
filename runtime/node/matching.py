"""Whom the gallery knows in an embedding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from denet.graph import State
from runtime.gallery import Gallery, Match, Scores, Space
from runtime.node.events import EventMatch
from runtime.node.scoring import choose_scores, least_match
from runtime.node.settings import GallerySettings
from runtime.node.tracks.pooling import Pooled

AVERAGED = float(np.log10(np.e))
"""What a mean of scores is above the score that its false-match rate has, at most, however the
scores depend on one another; see docs/tracks.md."""

CANDIDATES = 20
"""Identities that are looked at for each state of a track."""


class Matcher:
    """Searches a gallery for the embeddings of one bundle.

    Args:
        gallery: whom the node knows.
        settings: how good a match must be.
        space: of the embeddings.
        carried: the scores of the bundle; None if it has none.

    Raises:
        GalleryError: the embeddings cannot be compared with what the gallery holds or what the
            scores were made of, the scores cannot tell such a rate, or nothing says how good a
            match must be.
    """

    def __init__(
        self,
        gallery: Gallery,
        settings: GallerySettings,
        space: Space,
        carried: Scores | None = None,
    ) -> None:
        self._gallery, self._space = gallery, space
        self._scores = choose_scores(settings.scores, settings.threshold, space, carried)
        self(np.empty((0, space.dim), np.float32), [])
        self._least = least_match(self._scores, settings.threshold, settings.fmr)

    @property
    def stale(self) -> str:
        """As of `runtime.gallery.Gallery`."""
        return self._gallery.stale

    def __call__(
        self, embeddings: NDArray[np.float32], states: Sequence[State]
    ) -> list[EventMatch | None]:
        """The best match of each of Q embeddings, if it is good enough.

        Args:
            embeddings: (Q, dim), L2-normalized.
            states: in which they were made.

        Raises:
            GalleryError: the gallery cannot be read, or was made anew for another model.
        """
        found = self._gallery.search(self._space, embeddings, states, top=1, scores=self._scores)
        return [self._good_enough(matches) for matches in found]

    def pooled(self, tracks: Sequence[Pooled]) -> list[EventMatch | None]:
        """The best match of each of several tracks, if it is good enough.

        Each state of a track is searched for with its pooled embedding. The score of an identity
        is the mean over the states, by the weights of their sightings, of the score that the mean
        cosine of the sightings has: a pooled embedding is shorter than its sightings before it is
        normalized, and its own cosine too high for the rates of single ones. An identity that is
        not among the `CANDIDATES` best of a state counts there as nothing. With scores, that of
        several sightings is lowered by `AVERAGED`.

        Args:
            tracks: what is pooled of each, in the space of this matcher.

        Raises:
            GalleryError: as a call.
        """
        queries = [(track, state) for track in tracks for state in track.sums]
        if not queries:
            return [None] * len(tracks)
        vectors = np.stack([track.vector(state) for track, state in queries])
        states = [state for _, state in queries]
        found = iter(
            self._gallery.search(self._space, vectors, states, top=CANDIDATES, scores=self._scores)
        )
        return [self._best(track, [next(found) for _ in track.sums]) for track in tracks]

    def _best(self, track: Pooled, found: Sequence[Sequence[Match]]) -> EventMatch | None:
        """The best identity of a track, from the best of each of its states."""
        total = sum(track.weights.values())
        scores: dict[str, float] = {}
        cosines: dict[str, tuple[float, float]] = {}  # sum and weight
        for state, matches in zip(track.sums, found, strict=True):
            weight, agreement = track.weights[state], track.agreement(state)
            for match in matches:
                name, cosine = match.identity, match.cosine * agreement
                score = self._score(state, match.state, cosine)
                scores[name] = scores.get(name, 0.0) + weight * score / total
                before, so_far = cosines.get(name, (0.0, 0.0))
                cosines[name] = before + weight * cosine, so_far + weight
        if not scores:
            return None
        best = max(scores, key=scores.__getitem__)
        score = scores[best]
        if self._scores is not None and track.count > 1:
            score -= AVERAGED
        if score < self._least:
            return None
        cosine, weight = cosines[best]
        rate = None if self._scores is None else min(1.0, float(10.0**-score))
        return EventMatch(identity=best, score=score, cosine=cosine / weight, false_match_rate=rate)

    def _score(self, query: State, entry: State, cosine: float) -> float:
        if self._scores is None:
            return cosine
        return float(self._scores.score(query, entry, np.array([cosine], np.float32))[0])

    def _good_enough(self, matches: Sequence[Match]) -> EventMatch | None:
        if not matches or matches[0].score < self._least:
            return None
        best = matches[0]
        return EventMatch(
            identity=best.identity,
            score=best.score,
            cosine=best.cosine,
            false_match_rate=None if self._scores is None else float(10.0**-best.score),
        )
