"""What a gallery takes, seen to be what it should be."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from denet.graph import State
from runtime.gallery.base import Enrolment
from runtime.gallery.database import LARGEST_DIM
from runtime.gallery.names import checked_name
from runtime.gallery.scores import Scores
from runtime.gallery.space import GalleryError, Space

LONGEST_TEXT = 1 << 20
"""Characters of a source, or of metadata."""

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


def check_enrolments(
    space: Space, enrolments: Sequence[Enrolment]
) -> tuple[list[str], NDArray[np.float32]]:
    """The names and the embeddings (N, dim) of what is to be enrolled.

    Raises:
        GalleryError: an embedding, a name, a time or a source is none.
    """
    if not 0 < space.dim <= LARGEST_DIM:
        raise GalleryError(f"embeddings of {space.dim} numbers: a gallery takes 1 to {LARGEST_DIM}")
    names = [checked_name(enrolment.identity) for enrolment in enrolments]
    for name, enrolment in zip(names, enrolments, strict=True):
        shape = np.shape(enrolment.embedding)
        if not isfinite(enrolment.time):
            raise GalleryError(f"identity {name!r}: {enrolment.time} is no time")
        if shape != (space.dim,):
            raise GalleryError(
                f"identity {name!r}: an embedding of shape {shape}: expected {(space.dim,)}"
            )
        if len(enrolment.source) > LONGEST_TEXT:
            raise GalleryError(
                f"identity {name!r}: its source: more than {LONGEST_TEXT} characters"
            )
    return names, check_embeddings(
        space, np.stack([e.embedding for e in enrolments]), len(enrolments)
    )


def check_search(
    space: Space,
    embeddings: ArrayLike,
    states: Sequence[State],
    top: int,
    scores: Scores | None,
) -> NDArray[np.float32]:
    """What `base.Gallery.search` is asked with, as (Q, dim) float32.

    Raises:
        GalleryError: it cannot be searched for.
    """
    if top < 1:
        raise GalleryError(f"the {top} best were asked for: ask for at least 1")
    queries = check_embeddings(space, embeddings, len(states))
    if scores is not None:
        scores.space.require(space, scores.name)
    return queries


def metadata_text(enrolment: Enrolment) -> bytes:
    """The metadata of an enrolment as JSON in UTF-8.

    Raises:
        GalleryError: JSON cannot hold it, or it is too long.
    """
    try:
        text = msgspec.json.encode(dict(enrolment.metadata))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise GalleryError(f"identity {enrolment.identity!r}: its metadata: {error}") from None
    if len(text) > LONGEST_TEXT:
        raise GalleryError(
            f"identity {enrolment.identity!r}: its metadata: more than {LONGEST_TEXT} characters"
        )
    return text
