"""Online: each track that comes goes to one of the identities that there are, or begins one.

Tracks that were in view at once compete for the identities: each takes one track at most, so that
the evidence of all together is the greatest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from runtime.fleet.identities.evidence import Evidence, total
from runtime.fleet.pooled_tracks import KeptTrack
from runtime.node.tracks.assignment import FORBIDDEN, assign

Owners = NDArray[np.int64]
"""(N,) to which identity each track belongs; -1 for none yet."""


def assign_tracks(
    tracks: Sequence[KeptTrack], rows: Sequence[int], evidence: Evidence, owners: Owners
) -> Owners:
    """Decide anew to whom some tracks belong, the earliest first.

    Args:
        tracks: N of them.
        rows: R numbers of those that are decided.
        evidence: of these with all.
        owners: of all before; of those that are decided, too, if they had one.

    Returns:
        Owners of all. An identity that begins gets the next number.
    """
    now = owners.copy()
    now[np.asarray(rows, np.int64)] = -1
    following = int(owners.max(initial=-1)) + 1
    for places in _rounds(tracks, rows, evidence):
        chosen = _choose(evidence, places, now)
        mine = [rows[place] for place in places]
        now[mine] = chosen
        for row in mine:
            if now[row] < 0 and owners[row] >= 0 and not np.any(now == owners[row]):
                now[row] = owners[row]  # it is still nobody else's
            elif now[row] < 0:
                now[row], following = following, following + 1
    return now


def _rounds(
    tracks: Sequence[KeptTrack], rows: Sequence[int], evidence: Evidence
) -> Iterator[list[int]]:
    """Places of rows of tracks of which no two are one person, as they were in view at once."""
    order = sorted(range(len(rows)), key=lambda place: (tracks[rows[place]].began, rows[place]))
    places: list[int] = []
    for place in order:
        if all(evidence.apart[place, rows[other]] for other in places):
            places.append(place)
        else:
            yield places
            places = [place]
    if places:
        yield places


def _choose(evidence: Evidence, places: Sequence[int], owners: Owners) -> list[int]:
    """The identity of each of a round; -1 for a new one."""
    owned = np.flatnonzero(owners >= 0)
    known, group = np.unique(owners[owned], return_inverse=True)
    found = np.full((len(places), len(known)), -np.inf)
    for n, place in enumerate(places):
        looks, weights = np.zeros(len(known)), np.zeros(len(known))
        np.add.at(looks, group, evidence.looks[place, owned])
        np.add.at(weights, group, evidence.weights[place, owned])
        ways = np.full(len(known), -np.inf)
        np.maximum.at(ways, group, evidence.ways[place, owned])
        apart = np.bincount(group, evidence.apart[place, owned], minlength=len(known)) > 0
        found[n] = total(looks, weights, ways, apart)
    hopeful = np.flatnonzero((found > 0).any(axis=0))
    chosen = [-1] * len(places)
    if not len(hopeful):
        return chosen
    gains = found[:, hopeful]
    # Each may remain alone, at no gain.
    alone = np.where(np.eye(len(places), dtype=bool), 1.0, FORBIDDEN)
    costs = np.where(gains > 0, 1 - gains / gains.max(), FORBIDDEN)
    for place, column in assign(np.concatenate([costs, alone], axis=1)):
        if column < len(hopeful):
            chosen[place] = int(known[hopeful[column]])
    return chosen
