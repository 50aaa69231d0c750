"""The way of an identity: its tracks from camera to camera, and how sure each is by its looks."""

from __future__ import annotations

from pathlib import Path

from runtime.fleet.counting import read_fitting
from runtime.fleet.errors import FleetError
from runtime.fleet.following import Way, find_key
from runtime.fleet.identities.keeping import identities_of, owners_of
from runtime.fleet.identities.naming import PREFIX
from runtime.fleet.pooled_tracks import KeptTrack, Which, read_pooled, read_tracks
from runtime.fleet.retention import forget_track
from runtime.fleet.searching import FoundTrack, compared_score
from runtime.gallery.scores import Scores
from runtime.node.tracks.likeness import Likeness
from runtime.node.tracks.pooling import Pooled
from runtime.postgres.connecting import Connection
from runtime.postgres.transactions import snapshot

MOST = 500
"""Tracks of an identity that are shown, at most: the last of them."""


def find_identity(connection: Connection, name: str, *, alone: bool) -> tuple[str, str | None]:
    """The track that a person names, and the identity that is meant.

    Args:
        connection: to the archive.
        name: of a track, as `find_key` takes it, or an id that an identity has or had.
        alone: of a track, leave its identity aside.

    Returns:
        The key of the track, "" where an identity was named; and the id of the identity, None where
        there is none, or none but the track itself.

    Raises:
        FleetError: there is nothing of that name, or several are meant.
    """
    if name.startswith(PREFIX):
        found = identities_of(connection, name)
        if not found:
            raise FleetError(f"{name}: there is no such identity, or its tracks are forgotten")
        if len(found) > 1:
            counts = ", ".join(f"{now} (tracks: {len(keys)})" for now, keys in found.items())
            raise FleetError(f"{name}: was taken apart as more was seen: ask about one of {counts}")
        return "", next(iter(found))
    key = find_key(connection, name)
    owner = None if alone else owners_of(connection, [key]).get(key)
    if owner is None or len(identities_of(connection, owner).get(owner, ())) < 2:
        return key, None
    return key, owner


def forget_identity(connection: Connection, name: str) -> int:
    """Forget all tracks of an identity; how many.

    Raises:
        FleetError: there is none of that name, or it was taken apart.
        psycopg.Error: it cannot be done, or not all of it.
    """
    _, identity = find_identity(connection, name, alone=False)
    assert identity is not None
    keys = identities_of(connection, identity).get(identity, [])
    return sum(forget_track(connection, key) for key in keys)


def identity_way(
    connection: Connection, identity: str, key: str, which: Which, scores_file: Path
) -> Way:
    """The tracks of an identity, each compared with all the others together.

    Args:
        connection: to the archive.
        identity: its id.
        key: of the track that was asked about; "" if none was.
        which: tracks are shown, beside that one.
        scores_file: by which they are compared.

    Raises:
        FleetError: the archive has nothing of the model of the scores.
        GalleryError: the scores cannot be read.
        psycopg.Error: the archive cannot be asked.
    """
    with snapshot(connection):
        space, number, scores = read_fitting(connection, scores_file)
        keys = identities_of(connection, identity).get(identity, [])
        tracks = read_tracks(connection, keys)
        pooled = read_pooled(connection, space, number, list(tracks))
        shown = _shown(connection, keys, which)
    likeness = Likeness(scores, 0.0)
    found = [
        _beside(track, pooled, likeness, scores)
        for track in sorted(tracks.values(), key=lambda each: (each.began, each.key))
        if track.key in shown and track.key != key
    ]
    return Way(tracks.get(key), tuple(found[-MOST:]), identity)


def _beside(
    track: KeptTrack, pooled: dict[str, Pooled], likeness: Likeness, scores: Scores
) -> FoundTrack:
    score = None
    if track.key in pooled:
        others = Pooled(pooled[track.key].space)
        for key, other in pooled.items():
            if key != track.key:
                others.merge(other)
        score = compared_score(likeness, pooled[track.key], others)
    if score is None:  # nothing of it can be compared
        return FoundTrack(track, 0.0, 1.0)
    return FoundTrack(track, score, max(float(10.0**-score), scores.least_rate))


def _shown(connection: Connection, keys: list[str], which: Which) -> set[str]:
    condition, values = which.condition()
    rows = connection.execute(
        f"SELECT key FROM tracks WHERE key = ANY(%(keys)s) AND {condition}",
        {"keys": keys, **values},
    )
    return {row[0] for row in rows}
