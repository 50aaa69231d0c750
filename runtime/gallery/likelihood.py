"""What a cosine says for and against one person: a likelihood ratio for each pair of states.

A false-match rate alone says how rare a cosine is among strangers, not how common it is in one
person: in thermal infrared alone, 1 of 10 strangers and 2 of 10 genuine pairs say little. A table
of scores has both, as points of a receiver operating characteristic. The slope of its upper convex
hull is the likelihood ratio of the cosines there, the one that isotonic regression finds (Fawcett
and Niculescu-Mizil, "PAV and the ROC convex hull", 2007): it never falls where cosines rise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from denet.graph import State
from runtime.gallery.scores import LEAST_ERRORS, Pair, Scores
from runtime.states import read_state

Floats = NDArray[np.float64]


class LikelihoodRatios:
    """Of the cosines that a table of scores was measured on.

    Args:
        scores: the table.
    """

    def __init__(self, scores: Scores) -> None:
        rates = np.asarray(scores.table.rates)
        self._curves = {
            (read_state(q), read_state(g)): _curve(rates, pair)
            for q, row in scores.table.pairs.items()
            for g, pair in row.items()
            if pair.genuine > 0
        }

    def known(self, query: State, entry: State) -> bool:
        """Whether genuine pairs were measured in these states."""
        return (query, entry) in self._curves

    def log10(self, query: State, entry: State, cosines: NDArray[np.float32]) -> Floats:
        """log10 of how much likelier each cosine is of one person than of two strangers.

        It is bounded by what was measured: above by the cosine that 30 impostors reached, below by
        one more genuine pair than there were.

        Args:
            query, entry: a pair that is `known`.
            cosines: of any shape.
        """
        least, ratios = self._curves[query, entry]
        found: Floats = ratios[np.searchsorted(least, cosines, side="right")]
        return found


def _curve(rates: Floats, pair: Pair) -> tuple[Floats, Floats]:
    """(S - 1,) cosines at which S stretches meet, rising, and (S,) log10 of the ratio in each."""
    count = len(pair.cosines)
    told = rates[:count] * pair.impostors >= min(LEAST_ERRORS, pair.impostors)
    last = int(np.flatnonzero(told)[-1])
    # From beyond the greatest cosine, where nobody is, to the least, which all pairs reach.
    false = np.append(0.0, rates[last::-1])
    true = np.append(0.0, np.asarray(pair.found)[last::-1])
    true[-1] = 1.0
    cosines = np.append(np.inf, np.asarray(pair.cosines)[last::-1])
    corners = np.array(_upper_hull(false, true))
    rise = np.maximum(np.diff(true[corners]), 1 / (pair.genuine + 1))
    ratios = np.minimum.accumulate(np.log10(rise / np.diff(false[corners])))
    return cosines[corners[1:-1]][::-1], ratios[::-1]


def _upper_hull(x: Floats, y: Floats) -> list[int]:
    """Corners of the upper convex hull of points whose x rises; the first and the last are."""
    corners: list[int] = []
    for n in range(len(x)):
        while len(corners) >= 2:
            a, b = corners[-2], corners[-1]
            if (y[b] - y[a]) * (x[n] - x[a]) > (y[n] - y[a]) * (x[b] - x[a]):
                break
            corners.pop()
        corners.append(n)
    return corners
