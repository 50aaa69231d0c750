"""Arrays in files that somebody else wrote."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from numpy.lib import format as npy

from runtime.npz import unpacked

KINDS = arrays_of.scalar_dtypes() | arrays_of.unicode_string_dtypes(min_len=1)
KINDS = KINDS.filter(lambda dtype: dtype.kind in "biufU")


def read_arrays(content: bytes) -> dict[str, np.ndarray[Any, Any]]:
    return unpacked(io.BytesIO(content), len(content))


def saved(save: Callable[..., None] = np.savez, **arrays: Any) -> bytes:
    stream = io.BytesIO()
    save(stream, **arrays)
    return stream.getvalue()


@settings(deadline=None)
@given(
    array=KINDS.flatmap(lambda dtype: arrays_of.arrays(dtype, arrays_of.array_shapes(min_dims=0)))
)
def test_what_numpy_saves_comes_back(array: np.ndarray[Any, Any]) -> None:
    for given_ in (array, array.T):
        found = read_arrays(saved(x=given_))["x"]
        assert (found.shape, found.dtype) == (given_.shape, given_.dtype)
        assert found.tobytes() == given_.tobytes()


def member(shape: str, content: bytes, descr: str = "'<f4'") -> bytes:
    """An array whose header says what it likes."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    header = header.ljust(117) + b"\n"
    return npy.magic(1, 0) + len(header).to_bytes(2, "little") + header + content


def archive(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        for name, content in members.items():
            made.writestr(f"{name}.npy", content)
    return stream.getvalue()


def overlapping() -> bytes:
    """Two entries of the table of contents that are of the same bytes."""
    content = archive(x=member("(4,)", bytes(16)), y=b"")
    at = content.index(b"PK\x01\x02")
    end = content.index(b"PK\x05\x06")
    (entry, _) = content[at:end].split(b"PK\x01\x02")[1:]
    twice = b"".join(b"PK\x01\x02" + entry.replace(b"x.npy", n) for n in (b"x.npy", b"y.npy"))
    return content[:at] + twice + content[end:]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK",
        saved(np.savez_compressed, x=np.zeros(1 << 22)),
        saved(x=np.array([{"pickled": 1}], dtype=object)),
        saved(x=np.zeros(2, [("a", "f4")])),
        archive(x=member("(1000000000000,)", bytes(16))),
        archive(x=member("(-4,)", bytes(16))),
        archive(x=member("(4, 0)", bytes(16))),
        archive(x=member("(" * 3000, bytes(16))),
        archive(x=member("(4,)", bytes(15))),
        archive(x=member("(4,)", bytes(17))),
        archive(x=member("(4,)", bytes(16), "'|O'")),
        archive(x=member("(4,)", bytes(16), "'|V4'")),
        archive(x=b"text"),
        overlapping(),
    ],
)
def test_what_is_not_such_a_file_is_refused_without_memory_for_it(content: bytes) -> None:
    with pytest.raises(Exception, match=r".*") as refusal:
        read_arrays(content)
    assert not isinstance(refusal.value, MemoryError)


@settings(max_examples=300, deadline=None)
@given(bit=st.integers(0, 8 * len(archive(x=member("(4,)", bytes(16)))) - 1))
def test_a_flipped_bit_never_gives_other_numbers(bit: int) -> None:
    content = bytearray(archive(x=member("(4,)", bytes(16))))
    content[bit // 8] ^= 1 << bit % 8
    try:
        found = read_arrays(bytes(content))
    except Exception:  # the caller makes one line of whatever it is
        return
    assert all(not array.any() for array in found.values())
