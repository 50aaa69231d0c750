"""Who can be where how soon: from which camera one comes to which other in what time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from runtime.fleet.settings import IdentitySettings

CLOCKS = 1.0
"""Seconds by which the clocks of two cameras may differ."""

AGAIN = 0.1
"""Share of those who leave a camera and come again by no way of the topology, or later than it
says: they were inside somewhere, or went out and came back."""

UNSEEN = 0.1
"""Share of those who pass a camera without being seen by it."""

Floats = NDArray[np.float64]


class Topology:
    """What is known of the ways between some cameras.

    A way that leads past other cameras takes as long as its parts, and each camera that did not see
    somebody makes it less likely. Without any transits a person may come from each camera to each
    in any time that the clock allows.

    Attributes:
        cameras: names, in the order of the arrays.
        soonest: (K, K) least seconds from out of view of the one camera to in view of the other.

    Args:
        settings: with the transits.
        cameras: that there are.
    """

    def __init__(self, settings: IdentitySettings, cameras: Sequence[str]) -> None:
        named = [name for each in settings.transits for name in (each.origin, each.to)]
        self.cameras = tuple(dict.fromkeys((*cameras, *named)))
        self._number = {name: n for n, name in enumerate(self.cameras)}
        self._window = settings.window
        self._elsewhere = AGAIN if settings.transits else 1.0
        count = len(self.cameras)
        least, most = np.full((count, count), np.inf), np.full((count, count), np.inf)
        likely = np.zeros((count, count))
        for each in settings.transits:
            pair = self._number[each.origin], self._number[each.to]
            least[pair], most[pair] = each.seconds
            likely[pair] = 1.0
        beside = least < 0  # they see the same place
        whole = np.maximum(least, 0.0)
        for by in range(count):  # Floyd and Warshall
            soon = whole[:, by, None] + whole[by]
            late = most[:, by, None] + most[by]
            share = UNSEEN * likely[:, by, None] * likely[by]
            np.fill_diagonal(share, 0.0)  # to come back is no detour
            better = share > likely
            likely = np.where(better, share, likely)
            most = np.where(better, late, most)
            whole = np.minimum(whole, soon)
        self._least = np.where(least < np.inf, least, whole)
        self._most, self._likely = most, likely
        # Where no way is known nothing is known of how long it takes.
        soonest = np.where(np.isfinite(whole), whole, 0.0) - CLOCKS
        soonest[beside] = least[beside] - CLOCKS
        np.fill_diagonal(soonest, 0.0)
        self.soonest: Floats = np.minimum(soonest, np.where(beside.T, soonest.T, np.inf))

    def numbers(self, cameras: Sequence[str]) -> NDArray[np.int64]:
        """The places of cameras in the arrays."""
        return np.array([self._number[name] for name in cameras], np.int64)

    def density(self, origin: NDArray[np.int64], to: NDArray[np.int64], gaps: Floats) -> Floats:
        """How likely those who leave a camera are next seen by another so much later, for each
        second.

        Args:
            origin, to: numbers of cameras.
            gaps: seconds from out of view of the one to in view of the other; of one shape with
                `origin` and `to`, as numpy broadcasts them.

        Returns:
            1/s; 0 where it is too soon, or after the window.
        """
        total = np.maximum(self._likely.sum(axis=1), 1e-12)
        least, most = self._least[origin, to], self._most[origin, to]
        with np.errstate(invalid="ignore"):
            spread = np.where(np.isfinite(most), most - least + 2 * CLOCKS, np.inf)
            within = (gaps >= least - CLOCKS) & (gaps <= most + CLOCKS)
        by_way = (1 - self._elsewhere) * self._likely[origin, to] / total[origin] / spread
        found = np.where(within, by_way, 0.0)
        later = (gaps >= self.soonest[origin, to]) & (gaps <= self._window)
        found += np.where(later, self._elsewhere / (len(self.cameras) * self._window), 0.0)
        return found
