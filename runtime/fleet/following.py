"""Where else somebody was: the sightings of probably the same person, from camera to camera."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from runtime.fleet.errors import FleetError
from runtime.fleet.pooled_tracks import KeptTrack, Which, read_pooled, read_tracks
from runtime.fleet.searching import FoundTrack, SoughtPerson, find_tracks
from runtime.fleet.standing import known_spaces
from runtime.gallery.scores import Scores, read_scores
from runtime.postgres.connecting import Connection

MOST = 500
"""Sightings of one person, at most."""


@dataclass(frozen=True)
class Way:
    """What is known of a person's way.

    Attributes:
        start: the track that was asked about; None where it was asked about an identity.
        found: the others, the earliest first; no two of them, and none with `start`, were in view
            of one camera at one time.
        identity: id of the identity that they are of; None where each was compared with `start`.
    """

    start: KeptTrack | None
    found: tuple[FoundTrack, ...]
    identity: str | None = None


def find_key(connection: Connection, name: str) -> str:
    """The key of the track that a person names, as CAMERA/TRACK or by its id alone.

    Raises:
        FleetError: there is no such track, or there are several.
    """
    keys = [
        row[0]
        for row in connection.execute(
            "SELECT key FROM tracks WHERE key = %s OR split_part(key, '/', -1) = %s LIMIT 5",
            (name, name),
        )
    ]
    if not keys:
        raise FleetError(f"{name}: there is no such track: `denet fleet search` shows some")
    if len(keys) > 1:
        raise FleetError(f"{name}: several cameras have it: write one of {', '.join(keys)}")
    return str(keys[0])


def find_start(connection: Connection, key: str, scores: Path) -> tuple[KeptTrack, SoughtPerson]:
    """A track, and whom it shows.

    Raises:
        FleetError: it was never embedded.
        GalleryError: the scores cannot be read, or are of another model.
    """
    track = read_tracks(connection, [key])[key]
    for space, number in known_spaces(connection).items():
        pooled = read_pooled(connection, space, number, [key])
        if pooled:
            known: Scores = read_scores(scores, space)
            return track, SoughtPerson(pooled[key], number, known)
    raise FleetError(f"{track.key}: was never embedded: there is nothing to compare")


def follow(
    connection: Connection, start: KeptTrack, person: SoughtPerson, which: Which, rate: float
) -> Way:
    """The way of whom a track shows.

    Each sighting is compared with the track that is asked about, not with one another: what is
    found does not drift from one person to the next.

    Args:
        connection: to the archive.
        start, person: as `find_start` gives them.
        which: tracks are looked at.
        rate: the greatest false-match rate of a sighting.

    Raises:
        GalleryError: the scores cannot tell such a rate, or know none of its states.
        psycopg.Error: the archive cannot be asked.
    """
    least = person.scores.threshold(rate)
    best = find_tracks(connection, person, which, top=MOST, least=least, without=start.key)
    kept: list[FoundTrack] = []
    for each in best:
        if not any(each.track.meets(other) for other in (start, *(k.track for k in kept))):
            kept.append(each)
    kept.sort(key=lambda each: each.track.began)
    return Way(start, tuple(kept))
