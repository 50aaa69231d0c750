"""From cosines to the best identities, exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from denet.graph import State
from runtime.gallery.base import Match
from runtime.gallery.index import Index
from runtime.gallery.scores import Scores

Cosines = NDArray[np.float32]


@dataclass(frozen=True)
class Hit:
    """The best row of an identity, with what it is ordered by."""

    row: int
    cosine: float
    score: float


def matches_of(
    index: Index,
    names: Mapping[int, str],
    cosines: Cosines,
    query: State,
    top: int,
    scores: Scores | None,
) -> list[Match]:
    """As `rank`, for who asks.

    Args:
        index, cosines, query, top, scores: as of `rank`.
        names: of the identities by their numbers.

    Raises:
        GalleryError: as of `rank`.
    """
    return [
        Match(
            identity=names[int(index.identities[hit.row])],
            score=hit.score,
            cosine=hit.cosine,
            entry=int(index.entries[hit.row]),
            state=index.state(hit.row),
        )
        for hit in rank(index, cosines, query, top, scores)
    ]


def rank(
    index: Index, cosines: Cosines, query: State, top: int, scores: Scores | None
) -> list[Hit]:
    """The best row of each of the `top` best identities, the best first.

    Ties go to the greater cosine, then to the earlier row.

    Args:
        index: the gallery's rows.
        cosines: (rows,) of the query; beyond -1 and 1 by rounding at most.
        query: the state of the query.
        top: identities, at most.
        scores: what makes cosines to entries of different states comparable; without, the score
            is the cosine.

    Raises:
        GalleryError: `scores` do not know a pair of states.
    """
    if scores is None:
        rows = best_rows(index.identities, cosines, np.arange(len(index)), top)
        return [Hit(row, _cosine(cosines[row]), _cosine(cosines[row])) for row in rows]
    hits: list[Hit] = []
    # Within one state a score rises with the cosine, so the best by score are among these.
    for number in np.unique(index.states):
        mine = np.flatnonzero(index.states == number)
        rows = best_rows(index.identities, cosines, mine, top)
        found = scores.score(query, index.known[number], cosines[rows])
        hits += [
            Hit(row, _cosine(cosines[row]), float(s)) for row, s in zip(rows, found, strict=True)
        ]
    hits.sort(key=lambda hit: (-hit.score, -hit.cosine, hit.row))
    best: dict[int, Hit] = {}
    for hit in hits:
        best.setdefault(int(index.identities[hit.row]), hit)
    return list(best.values())[:top]


def best_rows(
    identities: NDArray[np.int64], cosines: Cosines, rows: NDArray[np.intp], top: int
) -> list[int]:
    """Of `rows`, the best of each of the `top` best identities, the best first; ties go to the
    earlier row.

    Args:
        identities: (all rows,) the identity of each.
        cosines: (all rows,) of a query.
        rows: which to choose from, rising.
        top: identities, at most.
    """
    mine = cosines[rows]
    reach = min(len(rows), 4 * top)  # rows of one identity hide others: some to spare
    while reach:
        # Partition keeps no order among equals: all that ties with the last is taken along.
        least = np.partition(mine, len(mine) - reach)[len(mine) - reach]
        within = np.flatnonzero(mine >= least)
        order = rows[within[np.argsort(-mine[within], kind="stable")]]
        _, first = np.unique(identities[order], return_index=True)
        # All were tried. (Not as many as there are would be within if one were not a number.)
        if len(first) >= top or reach == len(rows) or len(within) == len(rows):
            return [int(row) for row in order[np.sort(first)[:top]]]
        reach = min(len(rows), 4 * reach)
    return []


def _cosine(found: np.float32) -> float:
    return min(1.0, max(-1.0, float(found)))
