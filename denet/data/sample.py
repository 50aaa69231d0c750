"""Samples: who was seen by which camera, and where the images of it are.

A sample has the modalities of which it has an image, one or more: what it lacks is missing. Plain
Python and Pillow: nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from denet.errors import DenetError
from denet.graph import RGB_NIR_TIR, Graph, Modality, State
from denet.images import Decoded, cropped, size_of
from denet.images import read_image as read_any

COLUMNS: tuple[Modality, ...] = RGB_NIR_TIR.modalities
"""What a wide image shows, from left to right."""


class DataError(DenetError):
    """Data that cannot be used; the message names the file or folder."""

    def __init__(self, message: str) -> None:
        # A data loader makes a worker's error anew from the text of its traceback: keep of that
        # the last line, which is the message.
        mark = f"{DataError.__module__}.{DataError.__qualname__}: "
        super().__init__(message.rpartition(mark)[2].strip())


def read_image(path: Path) -> Decoded:
    """The image in the file `path`, decoded, as it is stored.

    Raises:
        DataError: the file is absent, is no image that is read, or is damaged.
    """
    return read_any(path, DataError)


@dataclass(frozen=True)
class ImageRef:
    """Where one modality's image is: a whole file, or a column of a wide image.

    Attributes:
        path: the file.
        column: 0, 1 or 2 for the left, middle or right third of a wide image; None for all.
    """

    path: Path
    column: int | None = None

    def open(self) -> Decoded:
        """The image, decoded.

        Raises:
            DataError: as `read_image` and `part_of`.
        """
        return self.part_of(read_image(self.path))

    def part_of(self, image: Decoded) -> Decoded:
        """What this refers to in `image`, the content of the whole file.

        Raises:
            DataError: the image has no three columns of equal width.
        """
        if self.column is None:
            return image
        whole, height = size_of(image)
        width, rest = divmod(whole, len(COLUMNS))
        if rest:
            raise DataError(
                f"{self.path}: its width {whole} is no multiple of 3: expected RGB, NI and "
                "TI side by side, as wide as each other"
            )
        left = self.column * width
        return cropped(image, (left, 0, left + width, height))


@dataclass(frozen=True)
class Record:
    """One sample: who was seen by which camera, and the images of it.

    Attributes:
        name: of the sample in its split: the file name without its extension, where that is the
            same in every modality.
        identity: as the layout tells it.
        camera: counted from 0. It is what the protocol goes by, which drops what the same camera
            saw of the same identity: a layout whose protocol drops by another thing, such as a
            scene, has that here.
        images: by modality, in the order of `RGB_NIR_TIR`; one that is not in it is missing.
    """

    name: str
    identity: int
    camera: int
    images: Mapping[Modality, ImageRef]

    def missing(self, graph: Graph) -> tuple[Modality, ...]:
        """The modalities of `graph` that the sample lacks."""
        return tuple(m for m in graph.modalities if m not in self.images)

    def within(self, state: State) -> Record:
        """The sample as if only the modalities of `state` were available.

        Raises:
            DataError: it lacks one of them.
        """
        lacking = [m for m in state.available if m not in self.images]
        if lacking:
            raise DataError(f"{self.name}: has no {' and '.join(lacking)} image, as {state} needs")
        return replace(self, images={m: self.images[m] for m in state.available})

    def open(self) -> dict[Modality, Decoded]:
        """The images, decoded; a wide image is read once for all its columns.

        Raises:
            DataError: as `ImageRef.open`.
        """
        paths = dict.fromkeys(ref.path for ref in self.images.values())
        whole = {path: read_image(path) for path in paths}
        return {m: ref.part_of(whole[ref.path]) for m, ref in self.images.items()}


@dataclass(frozen=True)
class DataSet:
    """The samples of a data set, each split ordered by name.

    Attributes:
        name: the layout, such as "RGBNT201".
        root: the folder.
        train: samples to train on; empty where there is no such split.
        query: samples to search with; empty where there is no such split.
        gallery: samples to search in; the same tuple as `query` where both are one split.
    """

    name: str
    root: Path
    train: tuple[Record, ...]
    query: tuple[Record, ...]
    gallery: tuple[Record, ...]

    @cached_property
    def graph(self) -> Graph:
        """Of the modalities of which at least one sample has an image; of all where there is no
        sample."""
        return graph_of((*self.train, *self.query, *self.gallery))

    def labels(self) -> dict[int, int]:
        """As `labels_of`, of the training identities."""
        return labels_of(self.train)


def labels_of(records: Sequence[Record]) -> dict[int, int]:
    """The class of each identity of `records`: 0 to n-1, in the order of the identities."""
    return {identity: i for i, identity in enumerate(sorted({r.identity for r in records}))}


def graph_of(records: Sequence[Record]) -> Graph:
    """Of the modalities of which at least one record has an image; of all where there is none."""
    there = {m for record in records for m in record.images}
    found = tuple(m for m in RGB_NIR_TIR.modalities if m in there)
    return Graph(found) if found else RGB_NIR_TIR


def complete(records: Sequence[Record], graph: Graph) -> tuple[Record, ...]:
    """Those of the records that have all modalities of `graph`, and with no others."""
    return tuple(record.within(graph.complete) for record in records if not record.missing(graph))


def unmatched(queries: Sequence[Record], gallery: Sequence[Record]) -> list[Record]:
    """The queries whose identity no other camera of the gallery saw: no protocol counts them."""
    cameras: dict[int, set[int]] = {}
    for record in gallery:
        cameras.setdefault(record.identity, set()).add(record.camera)
    return [q for q in queries if cameras.get(q.identity, set()) <= {q.camera}]
