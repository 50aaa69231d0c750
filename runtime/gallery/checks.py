"""What a gallery takes, seen to be what it should be."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.gallery.base import Enrolment
from runtime.gallery.space import GalleryError, Space

UNIT = 1e-3
"""How far the norm of an embedding may be from 1."""


def check_embeddings(space: Space, embeddings: ArrayLike, count: int) -> NDArray[np.float32]:
    """`embeddings` as (count, dim) float32.

    Raises:
        GalleryError: they are of another shape, not finite, or not L2-normalized.
    """
    array = np.asarray(embeddings, np.float32)
    if array.shape != (count, space.dim):
        raise GalleryError(f"embeddings of shape {array.shape}: expected {(count, space.dim)}")
    norms = np.linalg.norm(array, axis=1)
    bad = np.flatnonzero(~(np.abs(norms - 1) <= UNIT))
    if len(bad):
        raise GalleryError(
            f"embedding {bad[0]} has the norm {norms[bad[0]]:.6g}, not 1: give embeddings as "
            "`Runtime.embed` or `denet embed` make them"
        )
    return array


def check_enrolments(space: Space, enrolments: Sequence[Enrolment]) -> NDArray[np.float32]:
    """The embeddings (N, dim) of what is to be enrolled.

    Raises:
        GalleryError: an embedding, a name or a time is none.
    """
    for enrolment in enrolments:
        name, shape = enrolment.identity, np.shape(enrolment.embedding)
        if not name.strip() or not name.isprintable():
            raise GalleryError(f"identity {name!r}: give a name of printable characters")
        if not isfinite(enrolment.time):
            raise GalleryError(f"identity {name!r}: {enrolment.time} is no time")
        if shape != (space.dim,):
            raise GalleryError(
                f"identity {name!r}: an embedding of shape {shape}: expected {(space.dim,)}"
            )
    return check_embeddings(space, np.stack([e.embedding for e in enrolments]), len(enrolments))


def metadata_text(enrolment: Enrolment) -> str:
    """The metadata of an enrolment as JSON.

    Raises:
        GalleryError: JSON cannot hold it.
    """
    try:
        return msgspec.json.encode(dict(enrolment.metadata)).decode()
    except (TypeError, ValueError) as error:
        raise GalleryError(f"identity {enrolment.identity!r}: its metadata: {error}") from None
