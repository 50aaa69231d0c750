"""Identities in an archive: as tracks come, when more is seen, when somebody is forgotten."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import pytest

pytest.importorskip("psycopg", reason="needs psycopg: pip install '.[central]'")

from runtime.fleet.identities.identifying import Identifier
from runtime.fleet.settings import IdentitySettings
from runtime.node.events import TrackEvent
from runtime.postgres.connecting import Connection
from tests.runtime.fleet.drawn import put
from tests.runtime.fleet.identities.idf1 import brute_force_idf1
from tests.runtime.fleet.identities.walks import line_settings, walk_scores, walks


def space_of(archive: Connection) -> int:
    row = archive.execute("SELECT id FROM spaces").fetchone()
    assert row is not None
    return int(row[0])


def identifier(archive: Connection, settings: IdentitySettings | None = None) -> Identifier:
    return Identifier(
        settings or line_settings(), walk_scores(), space_of(archive), [].append  # type: ignore[arg-type]
    )  # fmt: skip


def settle(archive: Connection, made: Identifier, *, again: bool = True) -> int:
    """Decide all that waits; how many tracks were corrected."""
    corrected = 0
    while (done := made.step(archive, again=again)) is not None:
        corrected += done.corrected
        if not again and not done.tracks:
            break
    return corrected


def owners(archive: Connection) -> dict[str, str]:
    return dict(archive.execute("SELECT track, identity FROM members").fetchall())


def spans(events: Sequence[TrackEvent]) -> dict[str, tuple[float, float]]:
    return {
        f"{e.node}/{e.track.id}": (e.track.began, e.track.began + e.track.duration) for e in events
    }


def nobody_is_in_two_places(found: Mapping[str, str], events: Sequence[TrackEvent]) -> bool:
    when = spans(events)
    by_name = defaultdict(list)
    for key, name in found.items():
        by_name[name].append(when[key])
    return all(
        one[1] <= other[0] + 1.0
        for times in by_name.values()
        for one, other in zip(sorted(times), sorted(times)[1:], strict=False)
    )


@pytest.mark.parametrize("again", [False, True])
def test_as_tracks_come(archive: Connection, again: bool) -> None:
    """Seven people in twenty minutes, told of in small parts."""
    events, truth = walks(7, 3, noise=0.5, every=60)
    made = None
    for start in range(0, len(events), 3):
        put(archive, events[start : start + 3])
        made = made or Identifier(line_settings(), walk_scores(0.5), space_of(archive), print)
        settle(archive, made, again=again)
    found = owners(archive)
    assert found.keys() == truth.keys()
    assert brute_force_idf1(truth, found) >= 0.95
    assert nobody_is_in_two_places(found, events)
    assert all(name.startswith("identity-") for name in found.values())
