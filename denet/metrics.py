"""Retrieval metrics by the Market-1501 protocol: mAP and CMC.

For each query, gallery items of the same identity and the same camera are left out: finding
oneself in one's own camera is no achievement. A query without a match left is skipped. Average
precision is the mean of the precisions at the matches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_RANK = 50


@dataclass(frozen=True)
class Ranking:
    """Metrics of a query set against a gallery.

    Attributes:
        average_precision: (Q,) in [0, 1]; NaN for a query without a match.
        first_match: (Q,) rank of the first match, from 0; -1 for a query without a match.
    """

    average_precision: NDArray[np.float64]
    first_match: NDArray[np.intp]

    @property
    def queries(self) -> int:
        """How many queries count: those with a match in the gallery."""
        return int(np.sum(self.first_match >= 0))

    @property
    def map(self) -> float:
        """Mean average precision in per cent; NaN if no query counts."""
        counted = self.average_precision[self.first_match >= 0]
        return float(100 * counted.mean()) if len(counted) else float("nan")

    def cmc(self, rank: int) -> float:
        """Share of the queries, in per cent, with a match among the first `rank`."""
        counted = self.first_match[self.first_match >= 0]
        return float(100 * np.mean(counted < rank)) if len(counted) else float("nan")


def rank(
    queries: NDArray[np.float32],
    gallery: NDArray[np.float32],
    query_ids: NDArray[np.intp],
    gallery_ids: NDArray[np.intp],
    query_cameras: NDArray[np.intp],
    gallery_cameras: NDArray[np.intp],
) -> Ranking:
    """Rank the gallery for each query by cosine, and score it.

    Ties are broken by the order of the gallery, so equal inputs give equal metrics.

    Args:
        queries: (Q, D) L2-normalized embeddings.
        gallery: (G, D) L2-normalized embeddings.
        query_ids: (Q,) identities.
        gallery_ids: (G,) identities.
        query_cameras: (Q,) cameras.
        gallery_cameras: (G,) cameras.
    """
    precision = np.full(len(queries), np.nan)
    first = np.full(len(queries), -1, np.intp)
    for start in range(0, len(queries), 512):  # bounds the memory of a large gallery
        rows = slice(start, start + 512)
        order = np.argsort(-(queries[rows] @ gallery.T), axis=1, kind="stable")
        for offset, ranked in enumerate(order):
            q = start + offset
            same = gallery_ids[ranked] == query_ids[q]
            kept = ~(same & (gallery_cameras[ranked] == query_cameras[q]))
            matches = np.flatnonzero(same[kept])
            if len(matches):
                precision[q] = np.mean(np.arange(1, len(matches) + 1) / (matches + 1))
                first[q] = matches[0]
    return Ranking(precision, first)
