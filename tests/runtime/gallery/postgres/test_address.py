"""The setting of a central gallery: what may stand in it, and what it makes of TLS."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.gallery import GalleryError
from runtime.gallery.postgres.address import read_address


@pytest.mark.parametrize(
    ("host", "mode"),
    [
        ("127.0.0.1", "prefer"),
        ("127.8.9.1", "prefer"),
        ("localhost", "prefer"),
        ("[::1]", "prefer"),
        ("10.0.0.1", "verify-full"),
        ("db.example.org", "verify-full"),
        ("localhost.example.org", "verify-full"),
        ("127.0.0.1.example.org", "verify-full"),
    ],
)
def test_only_loopback_goes_without_a_verified_certificate(host: str, mode: str) -> None:
    assert read_address(f"postgresql://a@{host}/people").parameters()["sslmode"] == mode


def test_an_authority_is_asked_for_on_loopback_too(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("PEM")
    found = read_address(f"postgresql://a@localhost/people?ca={tmp_path}/ca.pem").parameters()
    assert (found["sslmode"], found["sslrootcert"]) == ("verify-full", f"{tmp_path}/ca.pem")


def test_what_stands_in_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_TEST", "from/the@environment")
    (tmp_path / "password").write_text("from the file\n")
    bare = read_address("postgresql://db.example.org/people")
    assert (bare.host, bare.port, bare.database, bare.user) == (
        "db.example.org", 5432, "people", "",
    )  # fmt: skip
    assert (bare.schema, bare.search, bare.password) == ("denet", "mirror", None)
    full = read_address(
        "postgres://gate%207@db.example.org:5433/people?schema=north&search=approximate"
        f"&password_file={tmp_path}/password"
    )
    assert (full.port, full.user, full.schema, full.search) == (
        5433, "gate 7", "north", "approximate",
    )  # fmt: skip
    assert full.password == "from the file"
    assert full.name == "postgres://db.example.org:5433/people (schema north)"
    assert "from the file" not in repr(full)
    named = read_address("postgresql://a@h/p?password_env=SECRET_OF_TEST")
    assert named.password == "from/the@environment"
    socket = read_address("postgresql:///people?host=/run/postgresql")
    assert socket.local
    assert socket.host == "/run/postgresql"


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        ("postgresql://a:hunter2secret@h/p", "has a password in it"),
        ("postgresql://h", "no address of a database"),
        ("postgresql:///p", "no address of a database"),
        ("postgresql://h:port/p", "no address of a database"),
        ("postgresql://h/p/q", "no address of a database"),
        ("postgresql://h/p?sslmode=disable", "no option 'sslmode'"),
        ("postgresql://h/p?search=fast", "choose from mirror, database, approximate"),
        ("postgresql://h/p?schema=Robert'", "no name of a schema"),
        ("postgresql://h/p?schema=pg_catalog", "no name of a schema"),
        ("postgresql://h/p?schema=a&schema=b", "needs one value"),
        ("postgresql://h/p?password_env=NOT_SET_ANYWHERE", "NOT_SET_ANYWHERE is not set"),
        ("postgresql://h/p?password_file=/nowhere/p", "/nowhere/p"),
        ("postgresql://h/p?password_file=a&password_env=b", "both set"),
        ("postgresql://h/p?ca=/nowhere/ca.pem", "/nowhere/ca.pem"),
    ],
)
def test_what_may_not_stand_in_a_setting(setting: str, word: str) -> None:
    with pytest.raises(GalleryError, match=word) as caught:
        read_address(setting)
    assert "hunter2secret" not in str(caught.value)
