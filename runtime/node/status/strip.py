"""Pictures of the people who were seen last: in memory alone, and few."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

from runtime.node.announcer import since_1970
from runtime.node.stage_items import Crop
from runtime.node.status.thumbnail import thumbnail
from runtime.node.tracks.correction import Correction
from runtime.node.tracks.snapshot import TrackInView


@dataclass(frozen=True)
class PersonShown:
    """Somebody who was seen.

    Attributes:
        number: of the picture; none is given twice.
        head: which head saw it; "" where these have no names.
        track: id of the track.
        name: whom the gallery knows in it, or the anonymous person; "" while that is not known.
        time: of the last picture that was taken in, in seconds since 1970 (UTC).
        weight: of the sighting.
        picture: JPEG.
    """

    number: int
    head: str
    track: str
    name: str
    time: float
    weight: float
    picture: bytes


class PeopleStrip:
    """The best picture of each of the last tracks. Any thread.

    Args:
        most: tracks that are kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._people: dict[tuple[str, str], PersonShown] = {}  # the newest last
        self._count = 0

    @property
    def people(self) -> Sequence[PersonShown]:
        """The newest first."""
        with self._lock:
            return tuple(reversed(self._people.values()))

    def add(self, head: str, track: str, weight: float, crop: Crop) -> None:
        """Somebody was embedded.

        Args:
            head: by whom.
            track: id of the track.
            weight: of the sighting: a better picture takes the place of a worse one.
            crop: its pixels; the first modality is shown.
        """
        with self._lock:
            known = self._people.pop((head, track), None)
            if known is not None and known.weight >= weight:
                self._people[head, track] = known
                return
            self._count += 1
            self._people[head, track] = PersonShown(
                self._count,
                head,
                track,
                "" if known is None else known.name,
                since_1970(crop.time),
                weight,
                thumbnail(next(iter(crop.images.values()))),
            )
            while len(self._people) > self._most:
                del self._people[next(iter(self._people))]

    def correct(self, head: str, correction: Correction) -> None:
        """It turned out that pictures may show somebody else, or the same person twice."""
        with self._lock:
            self._people.pop((head, correction.track), None)
            if correction.exchanged_since is not None:
                self._people.pop((head, correction.other), None)

    def name(self, head: str, tracks: Sequence[TrackInView]) -> None:
        """Know who is in tracks that go on."""
        with self._lock:
            for track in tracks:
                known = self._people.get((head, track.id))
                name = track.identity or track.person or ""
                if known is not None and known.name != name:
                    self._people[head, track.id] = replace(known, name=name)
