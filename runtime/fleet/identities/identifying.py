"""Decides whose the tracks of an archive are: when they come, and again when more is seen."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np

from runtime.fleet.identities.assigning import Owners, assign_tracks
from runtime.fleet.identities.clustering import cluster, worth
from runtime.fleet.identities.evidence import weigh
from runtime.fleet.identities.keeping import (
    Neighbour,
    Stamp,
    decide,
    near_tracks,
    stamps_of,
    waiting_tracks,
)
from runtime.fleet.identities.naming import keep_names
from runtime.fleet.identities.topology import Topology
from runtime.fleet.pooled_tracks import read_pooled, read_tracks
from runtime.fleet.settings import IdentitySettings
from runtime.gallery.likelihood import LikelihoodRatios
from runtime.gallery.scores import Scores
from runtime.node.notify import Notify
from runtime.node.tracks.pooling import Pooled
from runtime.postgres.connecting import Connection

AT_ONCE = 200
"""Tracks of one transaction, at most."""

MOST = 2000
"""Tracks that are looked at together, at most."""

OVERLAP = 300.0
"""Seconds of arrivals that are looked at again: who began to write first may be done last."""

ALL = 3600.0
"""Seconds after which all tracks are looked at, whenever they came."""

SHARE = 0.1
"""Of the time, for looking again at what was decided."""


@dataclass
class Decisions:
    """What was decided.

    Attributes:
        tracks: that were new, or of which more was told.
        corrected: tracks that went from one identity to another.
    """

    tracks: int = 0
    corrected: int = 0

    def plus(self, other: Decisions) -> Decisions:
        """Both together."""
        return Decisions(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True)
class _Near:
    """Tracks that are looked at together, with what is known of them."""

    neighbours: Sequence[Neighbour]
    pooled: Sequence[Pooled]

    @property
    def names(self) -> list[str | None]:
        return [each.identity for each in self.neighbours]


class Identifier:
    """Keeps identities in the archive up to date, in one space. All that lasts is in the archive.

    Args:
        settings: of identities.
        scores: by which tracks are compared.
        number: of their space in the archive.
        notify: told once of what is left out.
    """

    def __init__(
        self, settings: IdentitySettings, scores: Scores, number: int, notify: Notify
    ) -> None:
        self._settings, self._space, self._number = settings, scores.space, number
        self._ratios = LikelihoodRatios(scores)
        self._notify = notify
        self._said = False
        self._all_at = 0.0  # when all were looked at last, and none was left
        self._again_at = 0.0
        self._begun = False
        self._first: float | None = None  # of the tracks that are to be looked at again
        self._last = 0.0

    def step(self, connection: Connection, *, again: bool | None = None) -> Decisions | None:
        """Decide some that wait, the earliest first; then look again at what is near them.

        Args:
            connection: to the archive, outside of a transaction.
            again: whether to do that; None to leave it for later if it takes too much time.

        Returns:
            What was done; None if there is nothing to be done.

        Raises:
            psycopg.Error: it cannot be done; what was decided before remains.
        """
        began = time.monotonic()
        if not self._begun:
            self._begin(connection)
        whole = not self._all_at or began - self._all_at > ALL
        last = None if whole else OVERLAP
        waiting = waiting_tracks(connection, self._number, AT_ONCE, last)
        made = Decisions()
        if waiting:
            made = self._take_in(connection, waiting)
        elif whole:
            self._all_at = began
        if self._first is not None and (again or (again is None and began >= self._again_at)):
            made = made.plus(self._look_again(connection))
            spent = time.monotonic() - began
            self._again_at = began + spent / SHARE
        elif not waiting and self._first is None:
            return None
        return made

    def _begin(self, connection: Connection) -> None:
        """What was decided just before somebody was killed is looked at again."""
        row = connection.execute("SELECT max(seen) FROM tracks").fetchone()
        if row is not None and row[0] is not None:
            self._first, self._last = row[0] - self._settings.window, row[0]
        self._begun = True

    def _take_in(self, connection: Connection, waiting: dict[str, Stamp]) -> Decisions:
        tracks = read_tracks(connection, waiting)
        if not tracks:  # forgotten meanwhile
            return Decisions()
        first = min(track.began for track in tracks.values())
        # Those of long after have other neighbours: they wait for the next step.
        end = first + self._settings.window
        chosen = {
            key: stamp
            for key, stamp in waiting.items()
            if key in tracks and tracks[key].began <= end
        }
        last = max(tracks[key].seen for key in chosen)
        near = self._near(connection, first, last, list(chosen))
        place = {each.track.key: n for n, each in enumerate(near.neighbours)}
        rows = sorted(place[key] for key in chosen if key in place)
        decided = self._decided(near, rows)
        owners = {near.neighbours[row].track.key: decided[row] for row in rows}
        with connection.transaction():
            moved = decide(connection, self._number, owners, chosen)
        self._first = first if self._first is None else min(first, self._first)
        self._last = max(last, self._last)
        return Decisions(len(rows), moved)

    def _decided(self, near: _Near, rows: Sequence[int]) -> list[str]:
        """The id of each track, when some are decided by those that are."""
        tracks = [each.track for each in near.neighbours]
        evidence = weigh(tracks, near.pooled, rows, self._ratios, self._topology(near))
        owners = _numbered(near.names)
        now = assign_tracks(tracks, rows, evidence, owners)
        settled = {int(n): name for n, name in zip(owners, near.names, strict=True) if name}
        return keep_names(now, near.names, settled)

    def _look_again(self, connection: Connection) -> Decisions:
        """Join the tracks near those that came anew, if that has more for it."""
        assert self._first is not None
        first, last = self._first, self._last
        if last - first > self._settings.window:  # of a backlog, a part at a time
            last = first + self._settings.window
        near = self._near(connection, first, last)
        names = near.names
        known = [n for n, name in enumerate(names) if name is not None]
        near = _Near([near.neighbours[n] for n in known], [near.pooled[n] for n in known])
        moved = 0
        if known:
            decided = self._clustered(near, first, last)
            keys = [each.track.key for each in near.neighbours]
            changed = {
                key: name
                for key, name, before in zip(keys, decided, near.names, strict=True)
                if name != before
            }
            if changed:
                with connection.transaction():
                    stamps = stamps_of(connection, list(changed))
                    owners = {key: name for key, name in changed.items() if key in stamps}
                    moved = decide(connection, self._number, owners, stamps)
        self._first = last if last < self._last else None
        self._last = self._last if self._first is not None else 0.0
        return Decisions(0, moved)

    def _clustered(self, near: _Near, first: float, last: float) -> list[str]:
        """The id of each track by what all that is near has for it."""
        window = self._settings.window
        tracks = [each.track for each in near.neighbours]
        owners = _numbered(near.names)
        free = [first - window <= track.began <= last + window for track in tracks]
        settled = np.where(free, -1, owners)
        rows = range(len(tracks))
        evidence = weigh(tracks, near.pooled, rows, self._ratios, self._topology(near))
        labels = cluster(evidence, settled)
        if worth(evidence, labels) <= worth(evidence, owners) + 1e-9:
            return [name for name in near.names if name is not None]
        held = {
            int(label): name
            for label, name, is_free in zip(labels, near.names, free, strict=True)
            if not is_free and name is not None
        }
        return keep_names(labels, near.names, held)

    def _near(
        self, connection: Connection, first: float, last: float, chosen: Sequence[str] = ()
    ) -> _Near:
        """Tracks of some time, `chosen` among them, with all that may be of the same people."""
        reach = 2 * self._settings.window
        found = near_tracks(connection, self._number, (first - reach, last + reach), MOST, chosen)
        if len(found) == MOST and not self._said:
            self._said = True
            self._notify(
                f"more than {MOST} tracks within {last - first + 2 * reach:.0f} s: those farthest "
                "in time are left out; a shorter identities.window looks at fewer"
            )
        keys = [each.track.key for each in found]
        pooled = read_pooled(connection, self._space, self._number, keys)
        found = [each for each in found if each.track.key in pooled]
        return _Near(found, [pooled[each.track.key] for each in found])

    def _topology(self, near: _Near) -> Topology:
        cameras = dict.fromkeys(each.track.camera for each in near.neighbours)
        return Topology(self._settings, list(cameras))


def _numbered(names: Sequence[str | None]) -> Owners:
    """A number for each id, -1 for none."""
    numbers: dict[str, int] = {}
    return np.array(
        [-1 if name is None else numbers.setdefault(name, len(numbers)) for name in names],
        np.int64,
    )
