"""Tracks of an archive with what is pooled of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from denet.graph import State
from runtime.fleet.errors import FleetError
from runtime.fleet.standing import known_spaces
from runtime.fleet.times import ALWAYS, Interval
from runtime.gallery.space import Space
from runtime.node.tracks.pooling import Pooled
from runtime.postgres.connecting import Connection
from runtime.states import read_state

AT_ONCE = 1000
"""Tracks of one statement."""


@dataclass(frozen=True)
class Which:
    """Tracks that a question is about.

    Attributes:
        interval: they were in view in it, if not all the time.
        cameras: that saw them; None for any.
    """

    interval: Interval = ALWAYS
    cameras: tuple[str, ...] | None = None

    def condition(self) -> tuple[str, dict[str, Any]]:
        """For rows of tracks or of sightings, in SQL."""
        parts = ["true"]
        values: dict[str, Any] = {}
        if self.interval.since is not None:
            parts.append("seen >= %(since)s")
            values["since"] = self.interval.since
        if self.interval.until is not None:
            parts.append("began <= %(until)s")
            values["until"] = self.interval.until
        if self.cameras is not None:
            parts.append("node = ANY(%(cameras)s)")
            values["cameras"] = list(self.cameras)
        return " AND ".join(parts), values


@dataclass(frozen=True)
class KeptTrack:
    """A track of the archive.

    Attributes:
        key: "CAMERA/TRACK".
        camera: that saw it.
        began, seen: its first and last box; seconds since 1970.
        states: missing states in which it was seen.
        match: whom a gallery knew in it, as `EventMatch` in JSON; None for nobody.
    """

    key: str
    camera: str
    began: float
    seen: float
    states: tuple[str, ...]
    match: Mapping[str, Any] | None

    def meets(self, other: KeptTrack) -> bool:
        """Whether one camera saw both at one time: then they are two people."""
        return self.camera == other.camera and self.began < other.seen and other.began < self.seen


def choose_cameras(connection: Connection, pattern: str | None) -> tuple[str, ...] | None:
    """The cameras that a pattern such as "gate-*" stands for; several are separated by commas.

    Raises:
        FleetError: there is none.
    """
    if pattern is None:
        return None
    known = [row[0] for row in connection.execute("SELECT node FROM cameras ORDER BY node")]
    patterns = [each.strip() for each in pattern.split(",")]
    chosen = tuple(name for name in known if any(fnmatchcase(name, each) for each in patterns))
    if not chosen:
        some = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
        raise FleetError(f"--camera {pattern}: there is none: there are {some or 'no cameras yet'}")
    return chosen


def space_number(connection: Connection, space: Space, what: str) -> int:
    """The number of a space in the archive.

    Args:
        connection: to it.
        space: of what is compared with its tracks.
        what: is of that space, for messages.

    Raises:
        FleetError: it has no track of that space.
    """
    known = known_spaces(connection)
    if space not in known:
        held = "; ".join(each.describe() for each in known) or "nothing yet"
        raise FleetError(
            f"{what}: is of {space.describe()}: the archive has no tracks to compare with, it "
            f"holds {held}"
        )
    return known[space]


def read_tracks(connection: Connection, keys: Iterable[str]) -> dict[str, KeptTrack]:
    """Tracks by their keys; those that are not there (any more) are left out.

    Raises:
        psycopg.Error: they cannot be read.
    """
    rows = connection.execute(
        "SELECT key, node, began, seen, states, match FROM tracks WHERE key = ANY(%s)",
        (list(keys),),
    )
    return {
        key: KeptTrack(key, node, began, seen, tuple(states), match)
        for key, node, began, seen, states, match in rows
    }


def read_pooled(
    connection: Connection, space: Space, number: int, keys: Sequence[str]
) -> dict[str, Pooled]:
    """What is pooled of tracks in one space.

    Raises:
        psycopg.Error: it cannot be read.
    """
    found: dict[str, Pooled] = {}
    for start in range(0, len(keys), AT_ONCE):
        rows = connection.execute(
            "SELECT track, state, count, weight, agreement, embedding FROM sightings "
            "WHERE space = %s AND track = ANY(%s) ORDER BY track, state",
            (number, list(keys[start : start + AT_ONCE])),
            binary=True,
        )
        for key, state, count, weight, agreement, vector in rows:
            pooled = found.setdefault(key, Pooled(space))
            name = read_state(state)
            # As it was before it was normalized: see `Pooled`.
            pooled.sums[name] = np.float32(weight * agreement) * numbers(vector)
            pooled.weights[name] = weight
            pooled.counts[name] = count
    return found


def state_means(
    pooled: Sequence[Pooled], state: State
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """(N, dim) means of the sightings of each track in a state, zeros where there are none; and
    (N,) their weights."""
    dim = pooled[0].space.dim
    means = np.zeros((len(pooled), dim), np.float32)
    weights = np.zeros(len(pooled))
    for n, each in enumerate(pooled):
        if state in each.sums:
            weights[n] = each.weights[state]
            means[n] = each.sums[state] / np.float32(each.weights[state])
    return means, weights


def numbers(halfvec: bytes) -> NDArray[np.float32]:
    """The numbers of a halfvec in PostgreSQL's binary form: (dim,) float32, of length 1."""
    vector = np.frombuffer(halfvec, ">f2", offset=4).astype(np.float32)
    normed: NDArray[np.float32] = vector / np.linalg.norm(vector)
    return normed
