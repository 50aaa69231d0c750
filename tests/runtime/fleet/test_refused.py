"""What a fleet cannot work with: one line, exit code 2, and nothing lost."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("psycopg", reason="needs psycopg: pip install '.[central]'")
pytest.importorskip("paho.mqtt", reason="needs paho-mqtt: pip install '.[node]'")

from runtime.postgres.connecting import Connection
from tests.command import denet, refused
from tests.runtime.fleet.drawn import event, put
from tests.runtime.node.broker import MOSQUITTO, Broker, free_port
from tests.runtime.postgres.server import PASSWORD, Server


def config(folder: Path, url: str, port: int = 1, broker: str = "") -> Path:
    path = folder / "fleet.toml"
    if "url" not in broker:
        broker = f'url = "mqtt://127.0.0.1:{port}"\n{broker}'
    path.write_text(f'[archive]\nurl = "{url}"\n[broker]\n{broker}')
    return path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["archive: is missing"]),
        ("[archive]\nurl = 3", ["archive.url", "expected `str`"]),
        ('[archive]\nurl = "file:a.db"', ["is no address of a database", "postgresql://"]),
        ('[archive]\nurl = "postgresql://a:secret@h/p"', ["has a password in it"]),
        ('[archive]\nurl = "postgresql://a@h/p?search=mirror"', ["no option 'search'"]),
        ('[archive]\nurl = "postgresql://a@h/p"\ndays = 0', ["archive.days"]),
        ('[archive]\nurl = "postgresql://a@h/p"\nage = 3', ["unknown key 'age' in [archive]"]),
        ('name = "a b"\n[archive]\nurl = "postgresql://a@h/p"', ["name", "letters, digits"]),
        ('workers = 0\n[archive]\nurl = "postgresql://a@h/p"', ["workers"]),
        ('[archive]\nurl = "postgresql://a@h/p"', ["broker: is missing"]),
        ("[archive", ["not TOML"]),
    ],
)
def test_settings(tmp_path: Path, text: str, words: list[str]) -> None:
    (tmp_path / "fleet.toml").write_text(text)
    done = denet("fleet", "run", tmp_path / "fleet.toml")
    refused(done, *words)
    assert "secret" not in done.output


def test_a_wrong_password_of_the_archive(postgres: Server, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("wrong-" + PASSWORD)
    url = f"postgresql://postgres@127.0.0.1:{postgres.port}/postgres?password_file={tmp_path}/password"
    for command in ("run", "status"):
        done = denet("fleet", command, config(tmp_path, url))
        refused(done, "password authentication failed", "check the user and the password file")
        assert PASSWORD not in done.output


def test_an_unknown_authority_and_another_host_name(
    guarded_postgres: tuple[Server, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, folder = guarded_postgres
    monkeypatch.setenv("DENET_TEST_PASSWORD", PASSWORD)
    unknown = server.setting(f"ca={folder}/other.pem", host="localhost")
    refused(denet("fleet", "run", config(tmp_path, unknown)), "verify failed", "option ca")
    elsewhere = server.setting(f"ca={folder}/ca.pem")
    refused(denet("fleet", "run", config(tmp_path, elsewhere)), "does not match host name")
    # The broker has the same certificate.
    archive = server.setting("schema=refused", f"ca={folder}/ca.pem", host="localhost")
    with Broker(
        tmp_path,
        "allow_anonymous true",
        f"certfile {server.data}/server.crt",
        f"keyfile {server.data}/server.key",
    ) as broker:
        for host, ca, words in (
            ("localhost", "other.pem", "its certificate does not hold"),
            ("127.0.0.1", "ca.pem", "its certificate does not hold"),
        ):
            lines = f'url = "mqtts://{host}:{broker.port}"\nca_file = "{folder}/{ca}"\n'
            refused(denet("fleet", "run", config(tmp_path, archive, broker=lines)), words)
        lines = f'url = "mqtts://localhost:{broker.port}"\nca_file = "{folder}/ca.pem"\n'
        done = denet("fleet", "run", config(tmp_path, archive, broker=lines), "--for", "0.5")
        assert done.exit_code == 0, done.output


def test_a_wrong_password_of_the_broker(url: str, tmp_path: Path) -> None:
    tool = shutil.which("mosquitto_passwd")
    if tool is None or MOSQUITTO is None:
        pytest.skip("needs mosquitto: apt-get install mosquitto")
    passwords = tmp_path / "passwords"
    subprocess.run([tool, "-b", "-c", passwords, "fleet", "the right one"], check=True)
    (tmp_path / "password").write_text("the wrong one\n")
    lines = f'user = "fleet"\npassword_file = "{tmp_path}/password"\n'
    guard = ("allow_anonymous false", f"password_file {passwords}")
    with Broker(tmp_path, *guard) as broker:
        done = denet("fleet", "run", config(tmp_path, url, broker.port, lines))
        refused(done, f"127.0.0.1:{broker.port}", "not authorized")
        assert "the wrong one" not in done.output
        (tmp_path / "password").write_text("the right one\n")
        path = config(tmp_path, url, broker.port, lines)
        assert denet("fleet", "run", path, "--for", "0.2").exit_code == 0


def test_a_table_of_somebody_else(
    postgres: Server, new_schema: Callable[[], str], tmp_path: Path
) -> None:
    schema = new_schema()
    with postgres.admin() as admin:
        admin.execute(f"CREATE SCHEMA {schema}")
        admin.execute(f"CREATE TABLE {schema}.archive (shelf text)")
        admin.execute(f"INSERT INTO {schema}.archive VALUES ('letters')")
    path = config(tmp_path, postgres.setting(f"schema={schema}"))
    for command in ("run", "status", "roles", "forget"):
        refused(denet("fleet", command, path), f"{schema}.archive is not an archive of denet")
    with postgres.admin() as admin:
        assert admin.execute(f"SELECT shelf FROM {schema}.archive").fetchall() == [("letters",)]


def test_tables_of_a_future_version(archive: Connection, url: str, tmp_path: Path) -> None:
    put(archive, [event()])
    archive.execute("UPDATE archive SET version = 7")
    path = config(tmp_path, url, free_port())
    for command in ("run", "status", "aside"):
        refused(denet("fleet", command, path), "version 7", "knows 2", "install the denet")
    assert archive.execute("SELECT count(*) FROM events").fetchone() == (1,)


def test_no_archive_yet(url: str, tmp_path: Path) -> None:
    refused(denet("fleet", "status", config(tmp_path, url)), "there is no archive yet")


def test_roles(postgres: Server, url: str, tmp_path: Path) -> None:
    """Who asks sees everything but what nobody could read, and changes nothing; who keeps makes
    no tables."""
    path = config(tmp_path, url, free_port())
    names = [f"{url.rpartition('=')[2]}_{role}" for role in ("ask", "keep")]
    done = denet("fleet", "roles", path, "--ask", names[0], "--keep", names[1])
    assert done.exit_code == 0, done.output
    assert f"(made: {', '.join(names)})" in done.output
    with postgres.admin() as admin:
        for name in names:
            admin.execute(f"CREATE ROLE {name}_n LOGIN PASSWORD '{PASSWORD}' IN ROLE {name}")
    asks, keeps = (
        config(folder, url.replace("postgres@", f"{name}_n@"), free_port())
        for name in names
        if (folder := tmp_path / name).mkdir() is None
    )
    for mine in (asks, keeps):
        assert denet("fleet", "status", mine).exit_code == 0
    assert denet("fleet", "aside", keeps, "--drop").exit_code == 0
    refused(denet("fleet", "aside", asks), "may not do that", "denet fleet roles")
    refused(denet("fleet", "forget", asks, "a/b"), "may not do that")
    refused(denet("fleet", "forget", keeps, "a/b"), "there is no such track")
    assert denet("fleet", "run", keeps, "--for", "0.2").exit_code == 0
