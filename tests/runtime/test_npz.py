"""Arrays in files: what is not as it was written is refused, before it takes memory."""

from __future__ import annotations

import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from denet.errors import DenetError
from runtime.npz import read_arrays, with_digest

ARRAYS: dict[str, Any] = {
    "vectors": np.arange(12, dtype=np.float32).reshape(3, 4),
    "turned": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "names": np.array(["a", "José", ""]),
    "empty": np.array([""]),
    "one": np.array("x" * 64),
    "none": np.empty((0, 4), np.float32),
}


class NoArraysError(DenetError):
    """Of these tests."""


def read(path: Path) -> dict[str, Any]:
    return read_arrays(path, NoArraysError, "not one")


def header(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape!r}, }}\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def archive(path: Path, *members: tuple[str, bytes], compression: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", compression) as made:
        for name, content in members:
            made.writestr(name, content)
    return path


@pytest.mark.parametrize("signed", [True, False])
def test_arrays_come_back(tmp_path: Path, signed: bool) -> None:
    np.savez(tmp_path / "a.npz", **(with_digest(ARRAYS) if signed else ARRAYS))
    found = read(tmp_path / "a.npz")
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found[name], array)


def test_no_flipped_bit_changes_an_array(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, **with_digest(ARRAYS))
    good, chance, refused = path.read_bytes(), np.random.default_rng(0), 0
    for place in chance.integers(0, 8 * len(good), 3000).tolist():
        content = bytearray(good)
        content[place // 8] ^= 1 << place % 8
        path.write_bytes(content)
        try:
            found = read(path)
        except NoArraysError:
            refused += 1
            continue
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(found[name], array, err_msg=f"bit {place}")
    assert refused > 500


def test_an_array_that_was_changed_is_damage(tmp_path: Path) -> None:
    arrays = with_digest(ARRAYS)
    for name in ARRAYS:
        np.savez(tmp_path / "a.npz", **{k: a for k, a in arrays.items() if k != name})
        with pytest.raises(NoArraysError, match=r"a\.npz: not one: damaged"):
            read(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", **(arrays | {"vectors": ARRAYS["vectors"] + 1}))
    with pytest.raises(NoArraysError, match="damaged"):
        read(tmp_path / "a.npz")


def test_what_is_no_such_file_is_one_line(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "bomb.npz", a=np.zeros(10**6))
    np.savez(tmp_path / "pickle.npz", a=np.array([print], object))
    twice = archive(tmp_path / "shared.npz", ("a.npy", header((200,)) + b"\0" * 800))
    content = twice.read_bytes()
    start = content.index(b"PK\x01\x02")
    entry = content[start : content.index(b"PK\x05\x06")]
    copies = b"".join(entry.replace(b"a.npy", b"%c.npy" % n) for n in b"abcdef")
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 6, 6, len(copies), start, 0)
    twice.write_bytes(content[:start] + copies + end)
    for wrong, word in (
        (tmp_path / "bomb.npz", "a.npy is compressed"),
        (tmp_path / "pickle.npz", "no array of numbers"),
        (twice, "more bytes than the file"),
        (archive(tmp_path / "0.npz", ("a.npy", header((10**12,)))), "not as many numbers"),
        (archive(tmp_path / "1.npz", ("a.npy", header((-1, -4)) + b"\0" * 16)), "no array"),
        (archive(tmp_path / "2.npz", ("a.npy", header((2**40, 2**40)))), "not as many"),
        (archive(tmp_path / "3.npz", ("a.npy", b"text")), "not one"),
        (archive(tmp_path / "4.npz", *((f"{n}.npy", header((0,))) for n in range(65))), "too many"),
        (tmp_path, "not a regular file"),
        (tmp_path / "no.npz", "cannot be read"),
    ):
        with pytest.raises(NoArraysError, match=word) as caught:
            read(wrong)
        assert str(caught.value).startswith(str(wrong))
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.npz")
    with pytest.raises(NoArraysError, match="not a regular file"):
        read(tmp_path / "a.npz")
