"""Addresses of servers: what is one, and where pictures of people do not go in plain sight."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.serve.address import ServerAddress, read_server_address
from runtime.serve.contract import ServeError


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("grpc://127.0.0.1", ServerAddress("grpc://127.0.0.1", "127.0.0.1:8001")),
        ("grpc://localhost:9", ServerAddress("grpc://localhost:9", "localhost:9")),
        ("grpc://[::1]:9/a", ServerAddress("grpc://[::1]:9/a", "[::1]:9", "a")),
        (
            "grpc://10.0.0.1/?plaintext=yes&jpeg=90",
            ServerAddress("grpc://10.0.0.1/", "10.0.0.1:8001", jpeg=90),
        ),
        (
            "grpcs://triton.local:443?ca=ca.pem&certificate=me.pem&key=me.key&timeout=30",
            ServerAddress(
                "grpcs://triton.local:443",
                "triton.local:443",
                tls=True,
                ca=Path("ca.pem"),
                certificate=Path("me.pem"),
                key=Path("me.key"),
                timeout=30.0,
            ),
        ),
    ],
)
def test_addresses(setting: str, expected: ServerAddress) -> None:
    assert read_server_address(setting) == expected


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("", "is no address of a server: write grpc://HOST:PORT"),
        ("triton:8001", "is no address of a server"),
        ("http://127.0.0.1:8000", "is no address of a server"),
        ("grpc://127.0.0.1:x", "is no address of a server"),
        ("grpc://127.0.0.1:0", "is no address of a server"),
        ("grpc://127.0.0.1:99999", "is no address of a server"),
        ("grpc:///denet", "is no address of a server"),
        ("grpc://127.0.0.1/a/b", "is no name of a model"),
        ("grpc://127.0.0.1/..", "is no name of a model"),
        ("grpc://10.0.0.1", "in plain sight"),
        ("grpc://triton.local", "in plain sight"),
        ("grpc://0.0.0.0", "in plain sight"),
        ("grpc://10.0.0.1?plaintext=no", "plaintext"),
        ("grpcs://10.0.0.1?plaintext=yes", "plaintext"),
        ("grpc://127.0.0.1?ca=a", "ca is for TLS"),
        ("grpcs://a?key=k", "certificate and key go together"),
        ("grpcs://a?cert=k", "there is no option 'cert'"),
        ("grpc://127.0.0.1?jpeg=0", "from 1 to 100"),
        ("grpc://127.0.0.1?jpeg=9e9", "from 1 to 100"),
        ("grpc://127.0.0.1?timeout=0", "from 1 to 3600"),
        ("grpc://127.0.0.1?timeout=1&timeout=2", "timeout needs one value"),
        ("grpc://me:secret77@127.0.0.1", "has a user in it"),
    ],
)
def test_what_is_none_is_refused_in_one_line(setting: str, words: str) -> None:
    with pytest.raises(ServeError) as error:
        read_server_address(setting)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert "secret77" not in str(error.value)


@given(st.one_of(st.text(), st.text().map("grpc://".__add__), st.text().map("grpcs://a?".__add__)))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        found = read_server_address(text)
    except ServeError:
        return
    assert found.target
    assert found.tls or found.target.startswith(("127.", "localhost", "[::1]")) or "yes" in text
