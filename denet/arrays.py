"""Arrays out of a file of NumPy (npz), which somebody else may have written.

What `numpy.savez` writes is read: arrays of numbers or text, stored as they are. So none is larger
than the file, nothing is inflated, and nothing is unpickled.
"""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_arrays(content: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of an npz file, by name.

    Args:
        content: of the file.

    Raises:
        ValueError: a member is compressed, is no array of numbers or text, or is not as long as
            its shape says; or they overlap.
        Exception: what `zipfile` and NumPy raise of what is no archive, and no array.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > len(content):
            raise ValueError("it holds more than its size allows")
        found = {}
        for member in members:
            name = member.filename.removesuffix(".npy")
            if member.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{name[:80]!r} is compressed: write it with numpy.savez")
            if name in found:
                raise ValueError(f"{name[:80]!r} is in it twice")
            found[name] = _array(archive.read(member), name)
        return found


def _array(content: bytes, name: str) -> NDArray[Any]:
    stream = io.BytesIO(content)
    version = npy.read_magic(stream)
    if version not in _HEADERS:
        raise ValueError(f"{name[:80]!r} is of version {version}")
    shape, fortran, dtype = _HEADERS[version](stream)
    if dtype.kind not in "biufU" or dtype.names is not None:
        raise ValueError(f"{name[:80]!r} holds {dtype.kind}, neither numbers nor text")
    count = 1
    for length in shape:
        count *= length
    values = content[stream.tell() :]
    if min(shape, default=0) < 0 or count * dtype.itemsize != len(values):
        raise ValueError(f"{name[:80]!r} has {len(values)} bytes for the shape {shape}")
    if not dtype.itemsize:
        raise ValueError(f"{name[:80]!r} holds nothing")
    array = np.frombuffer(values, dtype).reshape(shape, order="F" if fortran else "C")
    return array.copy()
