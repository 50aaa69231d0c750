"""Whatever lies at a path: its content, or one line."""

from __future__ import annotations

import os
import socket
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from denet.errors import DenetError
from denet.reading import read_file, read_json, read_text, read_toml, reading


class RefusedError(DenetError):
    pass


@pytest.mark.parametrize(
    "fault",
    [
        zlib.error("incorrect header check"),
        MemoryError(),
        RecursionError("maximum recursion depth exceeded"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        OverflowError("int too large"),
        AttributeError(),
        PermissionError(13, "Permission denied"),
    ],
)
def test_whatever_a_parser_raises_names_the_file(fault: Exception) -> None:
    with pytest.raises(RefusedError, match=r"^some/file: \w+"), reading("some/file", RefusedError):
        raise fault


def test_an_error_of_ours_passes_as_it_is() -> None:
    with pytest.raises(DenetError, match=r"^mine$"), reading("some/file", RefusedError):
        raise DenetError("mine")


def test_an_interrupt_is_no_damage() -> None:
    with pytest.raises(KeyboardInterrupt), reading("some/file", RefusedError):
        raise KeyboardInterrupt


def folder(path: Path) -> None:
    path.mkdir()


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def circle(path: Path) -> None:
    path.symlink_to(path)


def listener(path: Path) -> None:
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))


@pytest.mark.parametrize("make", [folder, pipe, device, circle, listener])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "x")
    with pytest.raises(RefusedError, match="cannot be read"):
        read_file(tmp_path / "x", RefusedError)


@pytest.mark.parametrize("name", ["a\0b", "n" * 300, "gone/file", "d/" * 3000 + "x", "\udcff"])
def test_a_path_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RefusedError):
        read_file(tmp_path / name, RefusedError)


def test_a_file_of_another_size_than_it_can_have_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"12345")
    assert read_file(tmp_path / "x", RefusedError, 5) == b"12345"
    with pytest.raises(RefusedError, match="more than 4 bytes"):
        read_file(tmp_path / "x", RefusedError, 4)


def test_a_mark_of_byte_order_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xef\xbb\xbfa = 1")
    assert read_text(tmp_path / "x", RefusedError) == "a = 1"
    assert read_toml(tmp_path / "x", RefusedError) == {"a": 1}


@pytest.mark.parametrize(
    ("reader", "content"),
    [(read_json, b"[" * 100_000), (read_toml, b"a = " + b"[" * 100_000), (read_json, b"")],
)
def test_depth_is_one_line(tmp_path: Path, reader: Any, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(RefusedError):
        reader(tmp_path / "x", RefusedError)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(content)
    for reader in (read_json, read_toml, read_text):
        with suppress(RefusedError):
            reader(path, RefusedError)


@pytest.mark.parametrize("number", [1 << 63, -(1 << 63) - 1, 10**400])
def test_a_whole_number_is_such_as_computers_hold(tmp_path: Path, number: int) -> None:
    toml, json = tmp_path / "a.toml", tmp_path / "a.json"
    toml.write_text(f"[a]\nb = [1, {number}]\n")
    with pytest.raises(RefusedError, match=r"a\.toml: (a\.b\[1\]: .*too large|not TOML)"):
        read_toml(toml, RefusedError)
    toml.write_text(f"a = {(1 << 63) - 1}\nb = {-(1 << 63)}\nc = true\n")
    assert read_toml(toml, RefusedError) == {"a": (1 << 63) - 1, "b": -(1 << 63), "c": True}
    json.write_text(f'{{"a": [1, {1 << 63}]}}')
    with pytest.raises(RefusedError, match="too large"):
        read_json(json, RefusedError)
