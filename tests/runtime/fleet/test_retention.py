"""What is too old or too much goes, whole tracks at a time, and nothing else does."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("psycopg", reason="needs psycopg: pip install '.[central]'")

from runtime.fleet.retention import LOCK, forget_old, kept_bytes
from runtime.fleet.settings import ArchiveSettings
from runtime.fleet.storing import Refused, SpaceIds, store
from runtime.node.events import EventIds
from runtime.postgres.address import Address
from runtime.postgres.connecting import Connection, connect
from tests.command import denet, refused
from tests.runtime.fleet.drawn import NOON, event, put

MB = 1_000_000


def filled(archive: Connection, tracks: int, crops: int = 0) -> None:
    """Track n came n days ago; its clock says something else."""
    ids = EventIds("gate-1")
    for n in range(tracks):
        put(archive, [event(ids, f"track-{n}", "updated"), event(ids, f"track-{n}", crops=crops)])
        for table, column in (("tracks", "key"), ("events", "track")):
            archive.execute(
                f"UPDATE {table} SET arrived = now() - %s * interval '1 day' WHERE {column} = %s",
                (n, f"gate-1/track-{n}"),
            )


def left(archive: Connection) -> dict[str, set[str]]:
    return {
        table: {row[0] for row in archive.execute(f"SELECT DISTINCT {column} FROM {table}")}
        for table, column in (
            *(("tracks", "key"), ("events", "track")),
            *(("sightings", "track"), ("pictures", "track")),
        )
    }


def names(*numbers: int) -> set[str]:
    return {f"gate-1/track-{n}" for n in numbers}


def test_by_age(archive: Connection) -> None:
    filled(archive, 6, crops=1)
    store(archive, SpaceIds(), [], [Refused("t", b"old", "x")], NOON)
    archive.execute("UPDATE aside SET arrived = now() - interval '9 days'")
    store(archive, SpaceIds(), [], [Refused("t", b"new", "x")], NOON)
    settings = ArchiveSettings(url="postgresql://a@localhost/b", days=3.5)
    assert forget_old(archive, settings) == 2
    assert left(archive) == dict.fromkeys(
        ("tracks", "events", "sightings", "pictures"), names(0, 1, 2, 3)
    )
    assert archive.execute("SELECT body FROM aside").fetchall() == [(b"new",)]
    assert forget_old(archive, settings) == 0


def test_by_size(archive: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tracks that came first go, until what is left fits."""
    monkeypatch.setattr("runtime.fleet.retention.AT_ONCE", 2)
    filled(archive, 8)
    each = kept_bytes(archive) // 8
    settings = ArchiveSettings(url="postgresql://a@localhost/b", bytes=MB)
    assert forget_old(archive, settings) == 0
    archive.execute("UPDATE tracks SET bytes = bytes + %s", (MB // 4,))
    assert forget_old(archive, settings) == 5
    assert kept_bytes(archive) == 3 * (each + MB // 4)
    assert left(archive)["tracks"] == left(archive)["events"] == names(0, 1, 2)


def test_a_track_that_goes_on_stays(archive: Connection) -> None:
    filled(archive, 5)
    ids = EventIds("late")
    put(archive, [event(ids, "track-4", duration=30.0)])
    settings = ArchiveSettings(url="postgresql://a@localhost/b", days=2.5)
    assert forget_old(archive, settings) == 1
    assert left(archive)["tracks"] == names(0, 1, 2, 4)


def test_one_at_a_time(archive: Connection, address: Address) -> None:
    filled(archive, 3)
    settings = ArchiveSettings(url="postgresql://a@localhost/b", days=0.5)
    with connect(address) as other:
        other.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        assert forget_old(archive, settings) == 0
        other.execute("SELECT pg_advisory_unlock(%s)", (LOCK,))
    assert forget_old(archive, settings) == 2


def test_one_track(archive: Connection, url: str, tmp_path: Path) -> None:
    filled(archive, 2, crops=1)
    (tmp_path / "f.toml").write_text(f'[archive]\nurl = "{url}"\n')
    done = denet("fleet", "forget", tmp_path / "f.toml", "gate-1/track-0")
    assert done.output.strip() == "tracks forgotten: 1"
    assert set(map(frozenset, left(archive).values())) == {frozenset(names(1))}
    refused(denet("fleet", "forget", tmp_path / "f.toml", "gate-1/track-0"), "no such track")
