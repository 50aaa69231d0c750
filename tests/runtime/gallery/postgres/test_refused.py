"""What cannot be reached or is no gallery: one line, exit code 2, and nothing lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from runtime.gallery import GalleryError, Space, open_gallery
from tests.command import denet, refused
from tests.runtime.gallery.people import COMPLETE, DIM, SPACE, person, search, unit
from tests.runtime.node.broker import free_port
from tests.runtime.postgres.server import PASSWORD, Server

Schema = Callable[[], str]


def filled(server: Server, schema: str) -> str:
    setting = server.setting(f"schema={schema}")
    with open_gallery(setting, create=True) as gallery:
        gallery.enrol(SPACE, [person("alice", unit(1)[0])])
    return setting


def test_a_wrong_password(postgres: Server, new_schema: Schema, tmp_path: Path) -> None:
    filled(postgres, schema := new_schema())
    (tmp_path / "password").write_text("wrong-" + PASSWORD)
    setting = (
        f"postgresql://postgres@127.0.0.1:{postgres.port}/postgres?schema={schema}"
        f"&password_file={tmp_path}/password"
    )
    done = denet("gallery", "list", setting)
    refused(done, "password authentication failed", "check the user and the password file")
    assert PASSWORD not in done.output


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    refused(denet("gallery", "list", f"postgresql://a@127.0.0.1:{free_port()}/p"), "refused")


def test_another_database_or_schema(postgres: Server, new_schema: Schema) -> None:
    refused(denet("gallery", "list", postgres.setting(f"schema={new_schema()}")), "no such gallery")
    other = postgres.setting().replace("/postgres?", "/absent?")
    refused(denet("gallery", "list", other), 'database "absent" does not exist')


def test_a_table_of_somebody_else(postgres: Server, new_schema: Schema) -> None:
    schema = new_schema()
    with postgres.admin() as admin:
        admin.execute(f"CREATE SCHEMA {schema}")
        admin.execute(f"CREATE TABLE {schema}.gallery (painting text)")
        admin.execute(f"INSERT INTO {schema}.gallery VALUES ('Guernica')")
    setting = postgres.setting(f"schema={schema}")
    for create in (False, True):
        with pytest.raises(GalleryError, match="not a gallery of denet"):
            open_gallery(setting, create=create)
    with postgres.admin() as admin:
        assert admin.execute(f"SELECT painting FROM {schema}.gallery").fetchall() == [("Guernica",)]


def test_tables_of_a_future_version(postgres: Server, new_schema: Schema) -> None:
    setting = filled(postgres, schema := new_schema())
    with postgres.admin() as admin:
        admin.execute(f"UPDATE {schema}.gallery SET version = 7")
    refused(denet("gallery", "list", setting), "version 7", "reads 1", "install the denet")
    with postgres.admin() as admin:
        assert admin.execute(f"SELECT count(*) FROM {schema}.entries").fetchone() == (1,)


def test_a_gallery_of_another_checkpoint(postgres: Server, new_schema: Schema) -> None:
    setting = filled(postgres, new_schema())
    other = Space(DIM, "c" * 64, "b" * 64)
    for way in ("mirror", "database"):
        with open_gallery(f"{setting}&search={way}") as gallery:
            with pytest.raises(GalleryError, match="another model"):
                gallery.search(other, unit(1), [COMPLETE])
            with pytest.raises(GalleryError, match="another model"):  # as a node begins
                gallery.search(other, np.empty((0, DIM), np.float32), [])
            with pytest.raises(GalleryError, match="another model"):
                gallery.enrol(other, [person("bob", unit(1)[0])])
            assert [entry.identity for entry in gallery.entries()] == ["alice"]


def test_what_postgres_cannot_hold(postgres: Server, new_schema: Schema) -> None:
    setting = postgres.setting(f"schema={new_schema()}")
    with pytest.raises(GalleryError, match="cannot store int8: choose from float16, float32"):
        open_gallery(setting, create=True, storage="int8")
    with open_gallery(setting, create=True) as gallery:
        vector = unit(1)[0]
        with pytest.raises(GalleryError, match="NUL"):
            gallery.enrol(SPACE, [person("a", vector), type(person("b", vector))(
                "b", COMPLETE, vector, source="gate\0 3"
            )])  # fmt: skip
        with pytest.raises(GalleryError, match="takes 16000"):
            gallery.enrol(Space(16_001, "a" * 64, ""), [person("a", unit(1, 16_001)[0])])
        assert gallery.entries() == []
        long = Space(12_288, "a" * 64, "")  # six vectors of a ResNet-50, beyond a page
        gallery.enrol(long, [person("a", unit(1, 12_288)[0])])
        assert gallery.search(long, unit(1, 12_288), [COMPLETE])[0][0].identity == "a"
    with pytest.raises(GalleryError, match="stores float16, not float32"):
        open_gallery(setting, storage="float32")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ("UPDATE {}.entries SET identity = 'mallory'", "is damaged"),
        ("UPDATE {}.entries SET embedding = '[1,0,0,0,0,0,0,0]'", "is damaged"),
        ("UPDATE {}.entries SET embedding = '[1,0]'", "is damaged"),
        ("UPDATE {}.entries SET id = 9", "is damaged"),
        ("DELETE FROM {}.entries", "of 1 entries that it should have, 0 were found"),
        ("UPDATE {}.gallery SET count = 2", "damaged"),
        ("DELETE FROM {}.gallery", "damaged"),
    ],
)
def test_damage_is_told_and_is_never_an_answer(
    postgres: Server, new_schema: Schema, change: str, word: str
) -> None:
    setting = filled(postgres, schema := new_schema())
    with postgres.admin() as admin:
        admin.execute(change.format(schema))  # type: ignore[call-overload]
    refused(denet("gallery", "check", setting), word)
    with pytest.raises(GalleryError, match=word), open_gallery(setting) as gallery:
        search(gallery, unit(1)[0])


def test_tls_is_verified(
    guarded_postgres: tuple[Server, Path], monkeypatch: pytest.MonkeyPatch, new_schema: Schema
) -> None:
    server, folder = guarded_postgres
    monkeypatch.setenv("DENET_TEST_PASSWORD", PASSWORD)
    schema = f"schema={new_schema()}"
    setting = server.setting(schema, f"ca={folder}/ca.pem", host="localhost")
    with open_gallery(setting, create=True) as gallery:
        gallery.enrol(SPACE, [person("alice", unit(1)[0])])
        assert [m.identity for m in search(gallery, unit(1)[0])] == ["alice"]
        with server.admin() as admin:
            (used,) = admin.execute(
                "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
                "WHERE application_name = 'denet'"
            ).fetchall()
        assert used == (True,)
    unknown = server.setting(schema, f"ca={folder}/other.pem", host="localhost")
    refused(denet("gallery", "list", unknown), "verify failed", "with the option ca")
    elsewhere = server.setting(schema, f"ca={folder}/ca.pem")  # by its number, not its name
    refused(denet("gallery", "list", elsewhere), "127.0.0.1", "does not match host name")


def test_no_password_goes_out_in_plain_text(
    postgres: Server, tmp_path: Path, guarded_postgres: tuple[Server, Path]
) -> None:
    """With an authority named even loopback asks for TLS; elsewhere it always does."""
    _, folder = guarded_postgres
    plain = postgres.setting(f"ca={folder}/ca.pem", host="localhost")
    refused(denet("gallery", "list", plain), "does not support SSL", "except on loopback")
