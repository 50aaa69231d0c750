"""Embeddings with where they come from: of images, through a bundle, or of a file of embeddings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from denet.graph import Modality, State, StateError
from denet.reading import reading
from runtime.embeddings import embed_files
from runtime.gallery.base import Enrolment
from runtime.gallery.checks import check_embeddings
from runtime.gallery.names import spelled
from runtime.gallery.space import GalleryError, Space
from runtime.npz import read_arrays
from runtime.runtime import Runtime
from runtime.samples import ImageFiles
from runtime.states import read_state

NOT_ONE = "not a file of embeddings of `denet embed --out`"

LONGEST = 128
"""Characters of a digest, at most."""


@dataclass(frozen=True)
class Sightings:
    """Embeddings of samples that may be enrolled, or searched for.

    Attributes:
        space: what they can be compared with.
        names: of the samples.
        states: in which each was embedded.
        embeddings: (N, dim) float32.
        source: the folder or file they come from.
    """

    space: Space
    names: tuple[str, ...]
    states: tuple[State, ...]
    embeddings: NDArray[np.float32]
    source: str

    def enrolments(self, identity: str | None) -> list[Enrolment]:
        """All of them for a gallery.

        Args:
            identity: whom they show; None where each name tells it up to its first underscore, as
                `alice_2` and `000258_cam1_0_00` do.
        """
        return [
            Enrolment(
                spelled(name.partition("_")[0] if identity is None else identity),
                state,
                embedding,
                source=f"{self.source}: {name}",
            )
            for name, state, embedding in zip(self.names, self.states, self.embeddings, strict=True)
        ]


def check_given(
    folder: Path | None,
    single: Mapping[Modality, Path | None],
    bundle: Path | None,
    embeddings: Path | None,
) -> None:
    """See that a user names either images with a bundle, or a file of embeddings.

    Args:
        folder: of images.
        single: the files of one sample.
        bundle: to embed them.
        embeddings: a file.

    Raises:
        GalleryError: both, neither, or images without a bundle.
    """
    images = folder is not None or any(path is not None for path in single.values())
    if embeddings is None and bundle is None:
        raise GalleryError(
            "name images with the bundle that embeds them (--bundle), or a file of embeddings "
            "(--embeddings)"
        )
    if embeddings is not None and (images or bundle is not None):
        raise GalleryError("--embeddings stands alone: it replaces images and --bundle")


def of_images(
    runtime: Runtime, samples: Sequence[ImageFiles], source: str, notify: Callable[[int], None]
) -> Sightings:
    """Embed images.

    Args:
        runtime: a loaded bundle.
        samples: what to embed.
        source: where they are, for a person.
        notify: told of so many samples more.

    Raises:
        ImageError: an image cannot be read.
    """
    made = embed_files(runtime, samples, notify=notify)
    space = Space.of(runtime.bundle.manifest)
    return Sightings(space, made.names, made.states, made.embeddings, source)


def read_sightings(path: Path) -> Sightings:
    """A file of embeddings, as `denet embed --out` writes it.

    Raises:
        GalleryError: it cannot be read, or is no such file.
    """
    arrays = read_arrays(path, GalleryError, NOT_ONE)
    with reading(path, GalleryError, NOT_ONE):
        for name in ("names", "states"):
            if arrays[name].dtype.kind != "U" or arrays[name].ndim != 1:
                raise TypeError(f"{name} are no texts")
        embeddings, texts = arrays["embeddings"], arrays["names"]
        if embeddings.dtype != np.float32 or embeddings.ndim != 2:
            raise TypeError(f"embeddings of {embeddings.dtype} in {embeddings.ndim} axes")
        names = tuple(map(str, texts.tolist()))
        # Files of before there were projections do not tell of any.
        checkpoint, projection = (
            _text(name, arrays.get(name, default))
            for name, default in (("checkpoint", None), ("projection", np.array("")))
        )
        space = Space(embeddings.shape[1], checkpoint, projection)
    try:
        states = tuple(read_state(name) for name in arrays["states"].tolist())
    except StateError as error:
        raise GalleryError(f"{path}: {error}") from None
    if len(names) != len(states):
        raise GalleryError(f"{path}: damaged: {len(names)} names of {len(states)} states")
    try:
        vectors = check_embeddings(space, embeddings, len(names))
    except GalleryError as error:
        raise GalleryError(f"{path}: {error}") from None
    return Sightings(space, names, states, vectors, str(path))


def _text(name: str, array: NDArray[Any] | None) -> str:
    if array is None:
        raise KeyError(name)
    found = array.tolist()
    if not isinstance(found, str) or not found.isprintable() or len(found) > LONGEST:
        raise TypeError(f"its {name} is no digest")
    return found
