"""How many different people passed: tracks of an interval, compared with one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.fleet.errors import FleetError
from runtime.fleet.estimate import Alike, Estimate, estimate_people
from runtime.fleet.identities.evidence import apart
from runtime.fleet.identities.keeping import owners_of
from runtime.fleet.identities.topology import Topology
from runtime.fleet.pooled_tracks import KeptTrack, Which, read_pooled, read_tracks, state_means
from runtime.fleet.settings import IdentitySettings
from runtime.fleet.standing import known_spaces
from runtime.gallery.scores import Scores, read_scores
from runtime.gallery.space import GalleryError, Space
from runtime.node.matching import AVERAGED
from runtime.node.tracks.pooling import Pooled
from runtime.postgres.connecting import Connection
from runtime.postgres.transactions import snapshot

MOST = 10_000
"""Tracks that are compared with one another, at most."""

BLOCK = 256
"""Rows of a matrix of scores at a time."""

FALSE_SHARE = 0.05
"""Strangers that a track looks like by chance, at most, if scores can tell so low a rate."""

USELESS = 1.0
"""So many of them for each track, and nothing can be told."""

USUAL = 0.001


@dataclass(frozen=True)
class PeopleCount:
    """How many different people tracks show.

    Attributes:
        people: estimated, with its interval.
        tracks: that were compared.
        blind: tracks of the interval that were never embedded, or not by this model: of people who
            may not be counted.
        cameras: that saw the tracks.
        rate: false-match rate at which two tracks are taken for one person.
        found: share of pairs of one person that looks alike at that rate, by the scores.
        identities: of the tracks that were compared and have one; 0 if `denet fleet identify` is
            not in use.
        alone: tracks that were compared and have none.
    """

    people: Estimate
    tracks: int
    blind: int
    cameras: int
    rate: float
    found: float
    identities: int
    alone: int


def count_people(
    connection: Connection, which: Which, scores_file: Path, settings: IdentitySettings
) -> PeopleCount:
    """Count the people in some tracks; of the model of the scores.

    Args:
        connection: to the archive.
        which: tracks are looked at.
        scores_file: by which they are compared.
        settings: with the ways between cameras, if they are known: those who cannot have come from
            one to the other are not compared.

    Raises:
        FleetError: there are too many tracks, or the scores tell no rate that is low enough.
        GalleryError: the scores cannot be read, or are of no model that the archive has.
        psycopg.Error: the archive cannot be asked.
    """
    with snapshot(connection):
        space, number, scores = read_fitting(connection, scores_file)
        condition, values = which.condition()
        rows = connection.execute(
            f"SELECT key FROM tracks WHERE {condition} ORDER BY began, key LIMIT {MOST + 1}", values
        ).fetchall()
        if len(rows) > MOST:
            raise FleetError(
                f"more than {MOST} tracks: ask for a shorter interval (--since, --until) or fewer "
                "cameras (--camera)"
            )
        pooled = read_pooled(connection, space, number, [row[0] for row in rows])
        tracks = read_tracks(connection, pooled)
        owners = owners_of(connection, list(pooled))
    kept = sorted(tracks.values(), key=lambda track: (track.began, track.key))
    rate = _rate(len(kept), scores)
    topology = None
    if settings.transits:
        topology = Topology(settings, list({track.camera: None for track in kept}))
    alike = compare_all([pooled[track.key] for track in kept], kept, scores, rate, topology)
    return PeopleCount(
        people=estimate_people(alike),
        tracks=len(kept),
        blind=len(rows) - len(kept),
        cameras=len({track.camera for track in kept}),
        rate=rate,
        found=alike.found,
        identities=len(set(owners.values())),
        alone=len(kept) - len(owners),
    )


def read_fitting(connection: Connection, file: Path) -> tuple[Space, int, Scores]:
    """Scores, and the space of the archive that they are of, with its number.

    Raises:
        FleetError: the archive has none.
        GalleryError: they cannot be read, or are of another one.
    """
    refusal: GalleryError | None = None
    # The last model is the one that nodes have now.
    for space, number in reversed(list(known_spaces(connection).items())):
        try:
            return space, number, read_scores(file, space)
        except GalleryError as error:
            refusal = refusal or error
    if refusal is not None:
        raise refusal
    raise FleetError("the archive has no tracks yet that were embedded")


def compare_all(
    pooled: Sequence[Pooled],
    tracks: Sequence[KeptTrack],
    scores: Scores,
    rate: float,
    topology: Topology | None = None,
) -> Alike:
    """Which of N tracks look alike; two that one camera saw at one time are not compared.

    Args:
        pooled: what is known of each.
        tracks: when and where each was, in the order of their beginnings.
        scores: by which they are compared.
        rate: the greatest false-match rate at which two look alike.
        topology: by which some of them cannot be one person; None if it is not known.

    Raises:
        FleetError: no two states of them were measured, or nothing is found at this rate.
    """
    count = len(tracks)
    # Means of scores are lowered: see docs/tracks.md.
    shares = scores.found(rate * 10**-AVERAGED)
    least = scores.threshold(rate) + AVERAGED
    states = list(dict.fromkeys(state for each in pooled for state in each.sums))
    sides = {state: state_means(pooled, state) for state in states}
    began = np.array([track.began for track in tracks])
    seen = np.array([track.seen for track in tracks])
    _, camera = np.unique([track.camera for track in tracks], return_inverse=True)
    pairs: list[NDArray[np.int64]] = []
    compared = np.zeros(count, np.int64)
    likely = 0.0
    for start in range(0, count, BLOCK):
        rows = slice(start, min(start + BLOCK, count))
        size = rows.stop - rows.start
        total, found, weight = (np.zeros((size, count)) for _ in range(3))
        for s, (mine, my_weight) in sides.items():
            for t, (others, their_weight) in sides.items():
                if (s, t) not in shares:
                    continue
                both = np.outer(my_weight[rows], their_weight)
                cosines = mine[rows] @ others.T
                total += both * scores.score(s, t, cosines.reshape(-1)).reshape(cosines.shape)
                found += both * shares[s, t]
                weight += both
        together = (camera[rows, None] == camera) & (
            (began[rows, None] < seen) & (began < seen[rows, None])
        )
        if topology is not None:
            together |= apart(tracks, np.arange(rows.start, rows.stop), topology)
        allowed = ~together & (weight > 0)
        allowed[np.arange(size), np.arange(rows.start, rows.stop)] = False
        with np.errstate(invalid="ignore", divide="ignore"):
            hits = allowed & (total / weight >= least)
            likely += float(np.sum(np.where(allowed, found / weight, 0.0)))
        one, other = np.nonzero(hits)
        both_ways = np.stack([one + start, other], axis=1)
        pairs.append(both_ways[both_ways[:, 0] < both_ways[:, 1]])
        compared[rows] = allowed.sum(axis=1)
    share = likely / compared.sum() if compared.any() else 1.0
    if share <= 0:
        raise FleetError(
            f"{scores.name}: at a false-match rate of {rate:.2g} it finds nobody again in these "
            "states: nothing can be told of how many people there were"
        )
    joined = np.concatenate(pairs) if pairs else np.empty((0, 2), np.int64)
    return Alike(joined, compared, share, rate)


def _rate(count: int, scores: Scores) -> float:
    """The false-match rate at which so many tracks are compared."""
    wanted = min(USUAL, FALSE_SHARE / max(count, 1))
    rate = max(wanted, scores.least_rate)
    if rate * (count - 1) > USELESS:
        raise FleetError(
            f"{scores.name}: tells false-match rates down to {scores.least_rate:.2g} alone, too "
            f"high to count people in {count} tracks: ask for a shorter interval, or measure with "
            "more people (`denet gallery calibrate`)"
        )
    return rate
