"""Arrays in a file of numpy's, with a digest, read back with nothing trusted.

`numpy.load` takes what such a file says of itself: it inflates whatever is in it, and makes room
for an array before it looks whether the numbers are there. Here the directory of the archive is
looked at first. What is compressed is refused: denet writes arrays as they are, so that none is
larger than the file.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import numpy as np
from numpy.lib import format as numpy_format
from numpy.typing import NDArray

from denet.errors import DenetError
from denet.reading import open_regular, reading

npy: Any = numpy_format
"""Without types: older releases of numpy give it none."""

MEMBERS = 64
"""Arrays of a file, at most."""

DIGEST = "digest"
"""The array that holds what `arrays_digest` says of the others."""

Array = NDArray[Any]


def with_digest(arrays: Mapping[str, Array]) -> dict[str, Any]:
    """Arrays to write, with their digest before them: what hides the end of a directory does not
    hide that."""
    return {DIGEST: np.array(arrays_digest(arrays)), **arrays}


def arrays_digest(arrays: Mapping[str, Array]) -> str:
    """sha256 over names, types, shapes and numbers, in hexadecimal."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def read_arrays(path: Path, error: type[DenetError], what: str) -> dict[str, Array]:
    """The arrays of a file, by name, without the digest: it was seen to. They cannot be written to.

    Args:
        path: of the file; of before there were digests, it has none.
        error: to raise.
        what: the file is not, if it is none: "not a file of embeddings".

    Raises:
        error: it cannot be read, is no such file, or is damaged.
    """
    with reading(path, error, what), open_regular(path) as stream:
        arrays = unpacked(stream, path.stat().st_size)
        digest = arrays.pop(DIGEST, None)
        if digest is not None and digest.tolist() != arrays_digest(arrays):
            raise ValueError("damaged: its arrays are not those that were written")
    return arrays


def unpacked(stream: BinaryIO, size: int) -> dict[str, Array]:
    """The arrays of such a file of so many bytes, by name. They cannot be written to.

    Raises:
        ValueError: it holds something else than denet writes.
        Exception: what `zipfile` and NumPy raise of what is no archive, and no array.
    """
    with ZipFile(stream) as archive:
        members = archive.infolist()
        names = {info.filename.removesuffix(".npy") for info in members}
        if not len(names) == len(members) <= MEMBERS:
            raise ValueError("names twice, or too many")
        compressed = [info.filename for info in members if info.compress_type != ZIP_STORED]
        if compressed:
            raise ValueError(f"{compressed[0]} is compressed")
        # Members may share their bytes.
        if sum(info.file_size for info in members) > size:
            raise ValueError("its arrays have more bytes than the file")
        return {info.filename.removesuffix(".npy"): _array(archive, info) for info in members}


def _array(archive: ZipFile, info: ZipInfo) -> Array:
    with archive.open(info) as member:
        stream = cast(BinaryIO, member)
        if npy.read_magic(stream) != (1, 0):
            raise ValueError(f"{info.filename} has a format that denet does not write")
        shape, turned, dtype = npy.read_array_header_1_0(stream)
        content = member.read()  # to its end, where the archive's checksum is compared
    if dtype.kind not in "biufU" or min(shape, default=0) < 0:
        raise ValueError(f"{info.filename} is no array of numbers or texts")
    if len(content) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{info.filename} has not as many numbers as it says")
    if not dtype.itemsize:  # texts that are all empty
        return np.zeros(shape, dtype)
    return np.frombuffer(content, dtype).reshape(shape, order="F" if turned else "C")
