"""The tracks of a head at a moment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from runtime.node.backlog import Account, total
from runtime.node.boxes.box import Box


@dataclass(frozen=True)
class TrackInView:
    """A track that goes on.

    Attributes:
        id, person: as of `LiveTrack`.
        identity: whom the gallery knows in it; None if nobody.
        seconds: since its first box.
        state: of its last box.
        boxes, embedded: how many.
        box: the last, in the RGB frame.
        present: whether it is of the last moment.
    """

    id: str
    person: str | None
    identity: str | None
    seconds: float
    state: str
    boxes: int
    embedded: int
    box: Box | None = None
    present: bool = True


@dataclass(frozen=True)
class TracksSnapshot:
    """All of them.

    Attributes:
        account: of tracks, those that are not confirmed included.
        tracks: those that go on, the longest first.
        embedded: crops that were pooled.
        identified: tracks in which the gallery knows somebody.
        resumed: tracks that were lost and went on because the person looked the same.
        exchanged: pairs that had been taken for one another when they crossed.
        returned: tracks of people who were here before.
        recents: people who left and are remembered.
    """

    account: Account
    tracks: Sequence[TrackInView]
    embedded: int
    identified: int
    resumed: int
    exchanged: int
    returned: int
    recents: int

    def facts(self) -> dict[str, Any]:
        """For JSON; what is known of single tracks is told by events."""
        return {
            "entered": self.account.entered,
            "left": self.account.left,
            "dropped": dict(self.account.dropped),
            "held": self.account.held,
            "embedded": self.embedded,
            "identified": self.identified,
            "resumed": self.resumed,
            "exchanged": self.exchanged,
            "returned": self.returned,
            "recents": self.recents,
        }


def all_tracks(snapshots: Iterable[TracksSnapshot]) -> TracksSnapshot | None:
    """Those of several heads, or of the lives of one, as one; None of none."""
    several = list(snapshots)
    if not several:
        return None
    tracks = [track for each in several for track in each.tracks]
    return TracksSnapshot(
        account=total(each.account for each in several),
        tracks=sorted(tracks, key=lambda track: -track.seconds),
        embedded=sum(each.embedded for each in several),
        identified=sum(each.identified for each in several),
        resumed=sum(each.resumed for each in several),
        exchanged=sum(each.exchanged for each in several),
        returned=sum(each.returned for each in several),
        recents=sum(each.recents for each in several),
    )
