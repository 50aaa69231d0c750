"""Several that use one central gallery: writers, readers that were away, and roles."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

import psycopg
import pytest

from denet.graph import RGB_NIR_TIR
from runtime.gallery import Gallery, GalleryError, open_gallery
from runtime.gallery.postgres import following
from runtime.gallery.postgres.gallery import PostgresGallery
from tests.command import denet, refused
from tests.runtime.gallery.people import COMPLETE, SPACE, person, search, unit
from tests.runtime.node.waiting import until
from tests.runtime.postgres.server import PASSWORD, Server

Schema = Callable[[], str]

STATES = RGB_NIR_TIR.states


def names(gallery: Gallery) -> list[str]:
    return sorted(match.identity for match in search(gallery, unit(1)[0], top=1000))


def test_no_entry_of_a_concurrent_writer_is_missed(postgres: Server, new_schema: Schema) -> None:
    """Transactions of eight writers overlap; a mirror looks all the time."""
    setting = postgres.setting(f"schema={new_schema()}")
    open_gallery(setting, create=True).close()
    vectors = unit(160)
    ids: list[int] = []

    def write(number: int) -> None:
        with open_gallery(setting) as gallery:
            for i in range(number, 160, 8):
                ids.extend(gallery.enrol(SPACE, [person(f"p{i}", vectors[i], STATES[i % 7])]))
                if i % 5 == 0:
                    gallery.remove(f"p{i}")

    writers = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    with open_gallery(setting) as mirror:
        for writer in writers:
            writer.start()
        seen = []
        while any(writer.is_alive() for writer in writers):
            seen.append(len(names(mirror)))
        for writer in writers:
            writer.join()
        expected = sorted(f"p{i}" for i in range(160) if i % 5)
        assert names(mirror) == expected
        assert {m.entry for m in search(mirror, vectors[0], top=1000)} == {
            entry.id for entry in mirror.entries()
        }
    assert sorted(ids) == list(range(1, 161))  # in the order of commits, with no gap
    assert len(set(seen)) > 2  # it did look in between
    assert denet("gallery", "check", setting).exit_code == 0


def test_an_id_is_not_seen_before_a_smaller_one(postgres: Server, new_schema: Schema) -> None:
    """While one transaction is open, no other gets an id: a sequence would give it one."""
    setting = postgres.setting(f"schema={new_schema()}")
    with open_gallery(setting, create=True) as gallery, open_gallery(setting) as other:
        assert isinstance(gallery, PostgresGallery)
        gallery.enrol(SPACE, [person("first", unit(1)[0])])
        with gallery._writing():
            late = threading.Thread(target=other.enrol, args=(SPACE, [person("b", unit(1)[0])]))
            late.start()
            time.sleep(0.3)
            with open_gallery(setting) as third:
                assert names(third) == ["first"]
        late.join()
        assert names(gallery) == ["b", "first"]


def test_matching_goes_on_without_the_database(own: Server) -> None:
    setting = own.setting()
    with open_gallery(setting, create=True) as writer:
        writer.enrol(SPACE, [person("alice", unit(1)[0]), person("bob", -unit(1)[0])])
    with open_gallery(setting) as mirror, open_gallery(f"{setting}&search=database") as there:
        assert names(mirror) == names(there) == ["alice", "bob"]
        assert mirror.stale == ""
        own.kill()
        began = time.monotonic()
        for _ in range(20):
            assert names(mirror) == ["alice", "bob"]
        assert time.monotonic() - began < 20
        assert "cannot be reached" in mirror.stale
        with pytest.raises(GalleryError, match=r"127\.0\.0\.1"):
            names(there)
        with pytest.raises(GalleryError):
            mirror.enrol(SPACE, [person("carol", unit(1)[0])])
        own.start()
        with open_gallery(setting) as writer:
            writer.remove("bob")
            writer.enrol(SPACE, [person("dora", unit(1)[0])])
        until(lambda: names(mirror) == ["alice", "dora"])
        assert mirror.stale == ""
        assert names(there) == ["alice", "dora"]


def test_a_server_that_hangs_costs_one_wait(own: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "ANSWER", 0.5)
    setting = own.setting()
    with open_gallery(setting, create=True) as writer:
        writer.enrol(SPACE, [person("alice", unit(1)[0])])
    with open_gallery(setting) as mirror:
        assert names(mirror) == ["alice"]
        own.send(signal.SIGSTOP)
        try:
            began = time.monotonic()
            assert names(mirror) == ["alice"]
            first = time.monotonic() - began
            began = time.monotonic()
            for _ in range(20):
                assert names(mirror) == ["alice"]
            rest = time.monotonic() - began
        finally:
            own.send(signal.SIGCONT)
        assert 0.4 < first < 15
        assert rest < 20 * 0.5  # nobody waits again
        until(lambda: search(mirror, unit(1)[0]) and mirror.stale == "")


@pytest.mark.slow
def test_what_is_acknowledged_survives_a_kill(own: Server) -> None:
    setting = own.setting()
    open_gallery(setting, create=True).close()
    vectors, known = unit(1000), []

    def write() -> None:
        with open_gallery(setting) as gallery:
            for i, vector in enumerate(vectors):
                try:
                    known.extend(gallery.enrol(SPACE, [person(f"p{i}", vector)]))
                except GalleryError:
                    return

    for _ in range(3):
        before = len(known)
        writer = threading.Thread(target=write)
        writer.start()
        until(lambda: len(known) > before + 20)  # noqa: B023
        own.kill()
        writer.join()
        own.start()
    with open_gallery(setting) as gallery:
        there = [entry.id for entry in gallery.entries()]
        assert set(known) <= set(there)
        assert len(there) - len(known) <= 3  # kept, and killed before it could say so
        gallery.check()  # type: ignore[attr-defined]


def test_roles_may_what_they_may(postgres: Server, new_schema: Schema) -> None:
    schema = new_schema()
    setting = postgres.setting(f"schema={schema}")
    with open_gallery(setting, create=True) as gallery:
        gallery.enrol(SPACE, [person("alice", unit(1)[0])])
    reads, enrols = f"{schema}_read", f"{schema}_enrol"
    done = denet("gallery", "roles", setting, "--read", reads, "--enrol", enrols)
    assert done.exit_code == 0, done.output
    assert f"made: {reads}, {enrols}" in done.output
    again = denet("gallery", "roles", setting, "--read", reads, "--enrol", enrols)
    assert "made" not in again.output
    with postgres.admin() as admin:
        for user, role in ((f"{schema}_node", reads), (f"{schema}_desk", enrols)):
            admin.execute(f"CREATE ROLE {user} LOGIN PASSWORD '{PASSWORD}' IN ROLE {role}")

    def as_user(user: str) -> str:
        return postgres.setting(f"schema={schema}", user=f"{schema}_{user}")

    for way in ("mirror", "database"):
        with open_gallery(f"{as_user('node')}&search={way}") as node:
            assert names(node) == ["alice"]
            with pytest.raises(GalleryError, match="may not do that"):
                node.enrol(SPACE, [person("bob", unit(1)[0])])
            with pytest.raises(GalleryError, match="may not do that"):
                node.remove("alice")
    with open_gallery(as_user("desk")) as desk:
        desk.enrol(SPACE, [person("bob", unit(1)[0])])
        with pytest.raises(GalleryError, match="may not do that"):
            desk.remove("alice")
        assert names(desk) == ["alice", "bob"]
    refused(denet("gallery", "expire", as_user("desk"), "--days", 0), "may not do that")
    refused(
        denet("gallery", "roles", as_user("desk"), "--read", "x1", "--enrol", "x2"),
        "may not do that",
    )


def test_who_may_no_longer_read_does_not_go_on(postgres: Server, new_schema: Schema) -> None:
    """Taken rights are no lost network."""
    schema = new_schema()
    setting = postgres.setting(f"schema={schema}")
    with open_gallery(setting, create=True) as gallery:
        gallery.enrol(SPACE, [person("alice", unit(1)[0])])
    with postgres.admin() as admin:
        admin.execute(f"CREATE ROLE {schema}_n LOGIN PASSWORD '{PASSWORD}'")
        admin.execute(f"GRANT USAGE ON SCHEMA {schema} TO {schema}_n")
        admin.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {schema}_n")
        with open_gallery(postgres.setting(f"schema={schema}", user=f"{schema}_n")) as node:
            assert names(node) == ["alice"]
            admin.execute(f"REVOKE SELECT ON {schema}.gallery FROM {schema}_n")
            with pytest.raises(GalleryError, match="may not do that"):
                names(node)


def test_a_backup_in_its_place_is_the_gallery(postgres: Server, new_schema: Schema) -> None:
    """As the file: what was in memory is not mixed with what is there."""
    schema, other = new_schema(), new_schema()
    setting = postgres.setting(f"schema={schema}")
    with open_gallery(setting, create=True) as gallery:
        gallery.enrol(SPACE, [person("alice", unit(1)[0])])
        assert names(gallery) == ["alice"]
        with open_gallery(postgres.setting(f"schema={other}"), create=True) as second:
            second.enrol(SPACE, [person("bob", unit(1)[0]), person("carol", unit(1)[0])])
        with postgres.admin() as admin:
            admin.execute(f"DROP SCHEMA {schema} CASCADE")
            with pytest.raises(GalleryError, match="tables are gone"):
                names(gallery)
            admin.execute(f"ALTER SCHEMA {other} RENAME TO {schema}")
        assert names(gallery) == ["bob", "carol"]


def test_connecting_is_in_no_transaction(postgres: Server, new_schema: Schema) -> None:
    """A node that is idle holds no snapshot: it would keep what is erased in the tables."""
    setting = postgres.setting(f"schema={new_schema()}")
    with open_gallery(setting, create=True) as gallery:
        gallery.enrol(SPACE, [person("alice", unit(1)[0])])
        names(gallery)
        with postgres.admin() as admin:
            held = admin.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'denet' "
                "AND state <> 'idle'"
            ).fetchone()
        assert held == (0,)
        assert COMPLETE in {entry.state for entry in gallery.entries()}
    assert psycopg.__version__
