"""Embeddings as bytes: float32, float16 or int8."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from runtime.head import normalized

Storage = Literal["float32", "float16", "int8"]

STORAGES: tuple[Storage, ...] = get_args(Storage)

LARGEST = 127

STORED_UNIT = 2e-3
"""How far the norm of a stored embedding may be from 1: by what is allowed, and by rounding."""

_NUMBERS: dict[Storage, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "int8": np.dtype("i1"),
}


def size(storage: Storage, dim: int) -> int:
    """Bytes of one embedding."""
    return dim * _NUMBERS[storage].itemsize


def encode(embeddings: NDArray[np.float32], storage: Storage) -> list[bytes]:
    """Each of (N, dim) embeddings, L2-normalized, as bytes.

    float16 rounds each number to 11 bits: a cosine is then off by at most 0.0005. int8 counts each
    embedding in steps of its largest number over 127: a cosine is off by less than a step times
    the square root of dim, and by a small part of that in practice. The step itself is not kept:
    the norm is known to be 1.
    """
    if storage == "int8":
        steps = np.abs(embeddings).max(axis=1, keepdims=True) / LARGEST
        embeddings = np.rint(embeddings / steps)
    return [row.tobytes() for row in embeddings.astype(_NUMBERS[storage])]


def decode(
    blobs: Sequence[bytes], storage: Storage, dim: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """What `encode` made.

    Args:
        blobs: N of `size` bytes each.
        storage: how they are stored.
        dim: numbers of an embedding.

    Returns:
        (N, dim) float32; what was rounded is L2-normalized again.
        (N,) whether it is what `encode` makes of an embedding: not where a number is none, or the
            norm is not 1.
    """
    numbers = np.frombuffer(b"".join(blobs), _NUMBERS[storage]).reshape(len(blobs), dim)
    vectors = numbers.astype(np.float32)
    if storage == "int8":
        largest = np.abs(numbers.astype(np.int16)).max(axis=1, initial=0)
        return normalized(vectors), largest == LARGEST
    with np.errstate(all="ignore"):
        norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))  # with no array of squares
        fine: NDArray[np.bool_] = np.abs(norms - 1) <= STORED_UNIT
        if storage == "float16":
            vectors /= norms[:, None]
    return vectors, fine
