"""Learns from an archive from which camera people come to which other, and in what time.

No identities are needed, nor are any trusted: each pair of cameras is asked whether tracks of the
one look like tracks of the other more often after certain times than after others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from runtime.fleet.errors import FleetError
from runtime.fleet.identities.evidence import looks_between
from runtime.fleet.identities.scan import scan
from runtime.fleet.pooled_tracks import KeptTrack, Which, read_pooled, read_tracks
from runtime.gallery.likelihood import LikelihoodRatios
from runtime.gallery.scores import Scores
from runtime.node.tracks.pooling import Pooled
from runtime.postgres.connecting import Connection
from runtime.postgres.transactions import snapshot

MOST = 10_000
"""Tracks that are compared with one another, at most."""

ALIKE = float(np.log10(3))
"""log10 of the likelihood ratio from which on two tracks look alike."""

SOONEST, PER_DECADE = 2.0, 10
"""Seconds of the first bin's end, and bins for each power of ten."""

CERTAIN = 0.01
"""By how rare a chance a way must be told, all pairs of cameras together."""

PAST = 0.75
"""Share of the seconds of two ways, one after the other, from which on a third is both of them."""

BLOCK = 256


@dataclass(frozen=True)
class LearnedTransit:
    """A way that people take.

    Attributes:
        origin, to: cameras.
        least, most: seconds from out of view of the one to in view of the other.
        alike: pairs of tracks after such a time that look alike.
        chance: how many would by chance.
        p: how rarely chance alone would show so much, of all pairs of cameras that were asked.
        past: a camera that the way leads past; "" for none.
    """

    origin: str
    to: str
    least: float
    most: float
    alike: int
    chance: float
    p: float
    past: str = ""

    @property
    def middle(self) -> float:
        """Seconds, of the least and the most."""
        return (self.least + self.most) / 2


@dataclass(frozen=True)
class LearnedTopology:
    """What an archive shows.

    Attributes:
        transits: ways, those past other cameras among them.
        cameras: that saw tracks.
        tracks: that were compared.
        asked: pairs of cameras.
    """

    transits: tuple[LearnedTransit, ...]
    cameras: tuple[str, ...]
    tracks: int
    asked: int


def learn_topology(
    connection: Connection, number: int, scores: Scores, which: Which, window: float
) -> LearnedTopology:
    """What tracks of an archive show of the ways between cameras.

    Args:
        connection: to it.
        number: of the space of the scores in it.
        scores: by which tracks are compared.
        which: tracks are looked at.
        window: seconds after which nobody is expected any more.

    Raises:
        FleetError: there are too many of them.
        psycopg.Error: the archive cannot be asked.
    """
    with snapshot(connection):
        condition, values = which.condition()
        rows = connection.execute(
            f"SELECT key FROM tracks WHERE {condition} ORDER BY began DESC, key LIMIT {MOST + 1}",
            values,
        ).fetchall()
        if len(rows) > MOST:
            raise FleetError(
                f"more than {MOST} tracks: ask for a shorter interval (--since, --until) or fewer "
                "cameras (--camera)"
            )
        pooled = read_pooled(connection, scores.space, number, [row[0] for row in rows])
        tracks = read_tracks(connection, pooled)
    kept = sorted(tracks.values(), key=lambda track: (track.began, track.key))
    cameras = sorted({track.camera for track in kept})
    edges = _edges(window)
    pairs, alike = _counted(kept, [pooled[t.key] for t in kept], cameras, scores, edges)
    found: list[LearnedTransit] = []
    for a, origin in enumerate(cameras):
        for b, to in enumerate(cameras):
            # What is in no bin is what came the other way round, or both at once.
            other = int(pairs[a, b, -1]), int(alike[a, b, -1])
            cluster = scan(pairs[a, b, :-1], alike[a, b, :-1], other)
            if cluster is None or (p := min(1.0, cluster.p * len(cameras) ** 2)) > CERTAIN:
                continue
            # A bin more to each side: the scan ends where there is nothing to win.
            least = edges[max(0, cluster.first - 1)]
            most = edges[min(cluster.last + 2, len(edges) - 1)]
            found.append(
                LearnedTransit(
                    origin, to, float(least), float(most), cluster.alike, cluster.chance, p
                )
            )
    return LearnedTopology(tuple(_past_others(found)), tuple(cameras), len(kept), len(cameras) ** 2)


def _edges(window: float) -> NDArray[np.float64]:
    """Seconds at which bins meet: from 0, then evenly in their logarithm, to the window."""
    count = max(2, round(PER_DECADE * np.log10(window / SOONEST)))
    return np.append(0.0, np.geomspace(SOONEST, window, count + 1))


def _counted(
    tracks: Sequence[KeptTrack],
    pooled: Sequence[Pooled],
    cameras: Sequence[str],
    scores: Scores,
    edges: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(K, K, B + 1) pairs after each time, and those that look alike; at the end of pairs that are
    the other way round or at once."""
    ratios = LikelihoodRatios(scores)
    bins = len(edges) - 1
    shape = len(cameras), len(cameras), bins + 1
    pairs, alike = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    began = np.array([track.began for track in tracks])
    seen = np.array([track.seen for track in tracks])
    camera = np.searchsorted(cameras, [track.camera for track in tracks])
    for start in range(0, len(tracks), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(tracks)))
        looks, weights = looks_between(pooled, rows, ratios)
        gaps = began - seen[rows, None]
        back = began[rows, None] - seen
        near = (weights > 0) & (gaps <= edges[-1]) & (back <= edges[-1])
        near[np.arange(len(rows)), rows] = False
        with np.errstate(invalid="ignore", divide="ignore"):
            hit = near & (looks / weights >= ALIKE)
        place = np.where(gaps > 0, np.clip(np.searchsorted(edges, gaps) - 1, 0, bins - 1), bins)
        one, other = np.broadcast_arrays(camera[rows, None], camera)
        for counts, chosen in ((pairs, near), (alike, hit)):
            np.add.at(counts, (one[chosen], other[chosen], place[chosen]), 1)
    return pairs, alike


def _past_others(found: Sequence[LearnedTransit]) -> list[LearnedTransit]:
    """Say which ways are but two others, one after the other."""
    marked = []
    for each in found:
        past = ""
        for one in found:
            for other in found:
                through = one.to
                if (one.origin, other.to) != (each.origin, each.to) or other.origin != through:
                    continue
                if through in (each.origin, each.to):
                    continue
                if each.middle >= PAST * (one.middle + other.middle):
                    past = through
        marked.append(replace(each, past=past))
    return marked
