"""The tracks of an archive that are most like a person, exactly.

The score of a track is the mean of the scores of all pairs of a state of the person with a state of
the track, by the weights of their sightings (`runtime.node.tracks.likeness`). No mean is greater
than the greatest of its parts. So the database gives the best sightings of each pair of states, by
the mean cosine of the sightings that are pooled in them; the tracks that they belong to are scored
as a whole; and more are asked for until no sighting that was left out could lift its track among
the best.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from denet.graph import State
from runtime.fleet.pooled_tracks import KeptTrack, Which, read_pooled, read_tracks
from runtime.fleet.tables import OTHER, PARTITIONS
from runtime.gallery.scores import Scores
from runtime.gallery.space import GalleryError
from runtime.node.matching import AVERAGED
from runtime.node.tracks.likeness import Likeness
from runtime.node.tracks.pooling import Pooled
from runtime.postgres.connecting import Connection
from runtime.postgres.transactions import snapshot
from runtime.states import read_state

SPARE = 16
"""Sightings of each pair of states beyond two for each track that is asked for."""

DEEPER = 4
"""Times as many, where that was not enough."""

SLACK = 4e-3
"""How far a cosine of the database may be from ours: it rounds the query to float16, and does not
normalize again what it has."""

_BEST = (
    "(SELECT {number} AS part, track, -(embedding <#> {query}::halfvec) * agreement AS cosine "
    "FROM {table} WHERE space = {space} AND state = {state} AND {several} AND {which} "
    "ORDER BY cosine DESC LIMIT {limit})"
)


@dataclass(frozen=True)
class SoughtPerson:
    """Whom a question is about.

    Attributes:
        pooled: what is known of them.
        number: of the space of that in the archive.
        scores: by which others are compared.
    """

    pooled: Pooled
    number: int
    scores: Scores


@dataclass(frozen=True)
class FoundTrack:
    """A track, and how alike it is.

    Attributes:
        track: which.
        score: -log10 of `rate`.
        rate: share of strangers that would look as much alike, at most; not less than scores can
            tell.
    """

    track: KeptTrack
    score: float
    rate: float


def find_tracks(
    connection: Connection,
    person: SoughtPerson,
    which: Which,
    *,
    top: int,
    least: float = -np.inf,
    without: str = "",
) -> list[FoundTrack]:
    """The tracks that are most like a person, the best first; ties go to who came first.

    Args:
        connection: to the archive.
        person: who.
        which: tracks are looked at.
        top: tracks, at most.
        least: score of a track.
        without: a track that is not asked for.

    Raises:
        GalleryError: no pair of states was measured.
        psycopg.Error: the archive cannot be asked.
    """
    with snapshot(connection):
        scores = _scored(connection, person, which, top, least, without)
        tracks = read_tracks(connection, scores)
    found = [
        FoundTrack(track, scores[key], max(float(10.0 ** -scores[key]), person.scores.least_rate))
        for key, track in tracks.items()
        if scores[key] >= least
    ]
    found.sort(key=lambda each: (-each.score, each.track.began, each.track.key))
    return found[:top]


def compared_score(likeness: Likeness, one: Pooled, other: Pooled) -> float | None:
    """-log10 of the false-match rate of two, at most; a mean over several sightings is lowered.
    None where nothing of them can be compared."""
    score = likeness.score(one, other)
    if score is not None and (one.count > 1 or other.count > 1):
        return max(0.0, score - AVERAGED)
    return score


def compared_tracks(connection: Connection, number: int, which: Which) -> int:
    """How many tracks there are to be compared.

    Raises:
        psycopg.Error: the archive cannot be asked.
    """
    condition, values = which.condition()
    row = connection.execute(
        f"SELECT count(DISTINCT track) FROM sightings WHERE space = %(space)s AND {condition}",
        {"space": number, **values},
    ).fetchone()
    assert row is not None
    return int(row[0])


def _scored(
    connection: Connection, person: SoughtPerson, which: Which, top: int, least: float, without: str
) -> dict[str, float]:
    """The scores of tracks, among them all of the best."""
    likeness = Likeness(person.scores, least)
    parts = _parts(connection, person)
    limit = 2 * top + SPARE
    scores: dict[str, float] = {}
    seen: set[str] = {without}
    while parts:
        rows = _best(connection, person, parts, which, limit)
        new = sorted({row[1] for row in rows} - seen)
        seen.update(new)
        pooled = read_pooled(connection, person.pooled.space, person.number, new)
        for key, other in pooled.items():
            score = compared_score(likeness, person.pooled, other)
            if score is not None:
                scores[key] = score
        kept = sorted(scores.values(), reverse=True)[:top]
        enough = max(least, kept[-1] if len(kept) == top else -np.inf)
        counts = np.bincount([row[0] for row in rows], minlength=len(parts))
        lasts = {row[0]: float(row[2]) for row in rows}  # the last of each part is its least
        left = []
        for n, part in enumerate(parts):
            if counts[n] < limit:
                continue  # there are no more
            cosine = np.array([lasts[n] + SLACK], np.float32)
            most = float(person.scores.score(part.mine, part.state, cosine)[0])
            if most - (AVERAGED if part.several else 0.0) > enough:
                left.append(part)
        parts, limit = left, DEEPER * limit
    return scores


@dataclass(frozen=True)
class _Part:
    """Sightings that are asked for at once.

    Attributes:
        mine: state of the person.
        table: of the sightings.
        state: of them.
        several: whether scores of their tracks are lowered for sure; of others they may be.
        condition: for that, in SQL.
    """

    mine: State
    table: str
    state: State
    several: bool
    condition: str


def _parts(connection: Connection, person: SoughtPerson) -> list[_Part]:
    """Pairs of a state of the person with a state of tracks that were measured."""
    others = connection.execute(
        sql.SQL("SELECT DISTINCT state FROM {}").format(sql.Identifier(OTHER))
    )
    tables = [(table, state) for table, state in PARTITIONS.items()]
    tables += [(OTHER, read_state(str(row[0]))) for row in others]
    # A track with one sighting in a state may have others in other states.
    groups = [(True, "true")]
    if person.pooled.count == 1:
        groups = [(True, "count > 1"), (False, "count = 1")]
    pairs: list[_Part] = []
    refusal: GalleryError | None = None
    for mine in person.pooled.sums:
        for table, state in tables:
            try:
                person.scores.score(mine, state, np.zeros(1, np.float32))
            except GalleryError as error:
                refusal = error
                continue
            pairs += [_Part(mine, table, state, *group) for group in groups]
    if not pairs and refusal is not None:
        raise refusal
    return pairs


def _best(
    connection: Connection,
    person: SoughtPerson,
    parts: Iterable[_Part],
    which: Which,
    limit: int,
) -> list[tuple[Any, ...]]:
    """The best sightings of each pair of states, in their order: part, track, mean cosine."""
    condition, values = which.condition()
    selects = []
    for number, part in enumerate(parts):
        # With the agreement of the person's own sightings: their mean cosine to the other.
        agreement = np.float32(person.pooled.agreement(part.mine))
        vector = person.pooled.vector(part.mine) * agreement
        values[f"query{number}"] = _text(vector)
        selects.append(
            sql.SQL(_BEST).format(
                number=sql.Literal(number),
                query=sql.SQL(f"%(query{number})s"),
                table=sql.Identifier(part.table),
                space=sql.Literal(person.number),
                state=sql.Literal(part.state.name),
                several=sql.SQL(part.condition),
                which=sql.SQL(condition),
                limit=sql.Literal(limit),
            )
        )
    statement = sql.SQL("SELECT * FROM ({}) AS best ORDER BY part, cosine DESC").format(
        sql.SQL(" UNION ALL ").join(selects)
    )
    return connection.execute(statement, values).fetchall()


def _text(vector: NDArray[np.float32]) -> str:
    return "[" + ",".join(map(repr, vector.tolist())) + "]"
