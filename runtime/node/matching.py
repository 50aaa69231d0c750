"""Whom the gallery knows in an embedding."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from denet.graph import State
from runtime.gallery import Gallery, Match, Scores, Space, read_scores
from runtime.gallery.scores import least_score
from runtime.node.events import EventMatch
from runtime.node.settings import GallerySettings


class Matcher:
    """Searches a gallery for the embeddings of one bundle.

    Args:
        gallery: whom the node knows.
        settings: how good a match must be.
        space: of the embeddings.

    Raises:
        GalleryError: the embeddings cannot be compared with what the gallery holds or what the
            scores were made of, or the scores cannot tell such a rate.
    """

    def __init__(self, gallery: Gallery, settings: GallerySettings, space: Space) -> None:
        self._gallery, self._space = gallery, space
        self._scores: Scores | None = None
        if settings.scores is not None:
            self._scores = read_scores(Path(settings.scores), space)
        self._least = least_score(self._scores, settings.threshold, settings.fmr)
        self(np.empty((0, space.dim), np.float32), [])

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
