"""Data sets on disk: which images belong to which sample, identity and camera.

Three layouts are read, and told apart by the folders that are there:

- **RGBNT201**: `train_171` (or `train`) and `test`, each with the folders `RGB`, `NI` and `TI`.
  Query and gallery are both all of `test`; the protocol's camera rule takes the query out.
- **Market1501-MM**: the same, with `query` and `gallery` instead of `test`.
- **RGBNT100**: `bounding_box_train`, `query` and `bounding_box_test`, in `rgbir` or directly in
  the root, with images that hold RGB, NI and TI side by side.

Identity and camera come from the name of a file, never from its path. Plain Python and Pillow:
nothing here imports torch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from denet.errors import DenetError
from denet.folders import image_files, is_folder, modality_folders, natural_order, sample_name
from denet.graph import RGB_NIR_TIR, Graph, Modality, State
from denet.images import Decoded, cropped, size_of
from denet.images import read_image as read_any

COLUMNS: tuple[Modality, ...] = RGB_NIR_TIR.modalities
"""What a wide image shows, from left to right."""

NAMES: dict[str, re.Pattern[str]] = {
    "000258_cam1_0_00": re.compile(r"(\d{6})_cam(\d+)(?:_\d+)*", re.ASCII),
    "0002_c1s1_000451_03": re.compile(r"(-1|\d+)_c(\d+)s\d+(?:_\d+)*", re.ASCII),
    "0502_c0001_000": re.compile(r"(\d+)_c(\d+)(?:_\d+)*", re.ASCII),
}
"""An example of each kind of file name, and its pattern: identity and camera (from 1)."""

JUNK = -1
"""The identity that Market-1501 gives to images that count neither as a match nor as none."""


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
        name: the file name without its extension, the same in every modality.
        identity: as the file name tells it.
        camera: counted from 0; the file names of all three data sets count from 1.
        images: by modality, in the order of the set's graph; one that is not in it is missing.
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
        name: the layout: "RGBNT201", "Market1501-MM" or "RGBNT100".
        root: the folder.
        train: samples to train on; empty where there is no such split.
        query: samples to search with; empty where there is no such split.
        gallery: samples to search in; the same tuple as `query` where both are one split.
        graph: of the modalities that its layout has, whether or not a sample lacks some.
    """

    name: str
    root: Path
    train: tuple[Record, ...]
    query: tuple[Record, ...]
    gallery: tuple[Record, ...]
    graph: Graph = RGB_NIR_TIR

    def labels(self) -> dict[int, int]:
        """The class of each training identity: 0 to n-1, in the order of the identities."""
        return {identity: i for i, identity in enumerate(sorted({r.identity for r in self.train}))}


def open_data(root: Path) -> DataSet:
    """The data set in the folder `root`, in one of the layouts named above.

    Either training or test data may be absent. Where both `train_171` and `train` exist,
    `train_171` is taken, as published results on RGBNT201 do: it holds `train` and `val`.
    Images are one sample if their names agree, extensions aside. A sample without an image in
    some modality is kept: it is in another missing state. Junk images (identity -1) are left
    out; distractors (identity 0) stay in the gallery.

    Raises:
        DataError: no layout is recognized, a folder holds no images, or a file's name tells no
            identity, or is in a folder twice; names the file.
    """
    there = partial(is_folder, error=DataError)
    if not there(root):
        raise DataError(f"{root}: there is no such folder of data")
    for base in (root / "rgbir", root):
        if any(there(base / name) for name in ("bounding_box_train", "bounding_box_test")):
            train, query, gallery = (
                _split(base / name, _wide_records)
                for name in ("bounding_box_train", "query", "bounding_box_test")
            )
            return _paired(DataSet("RGBNT100", root, train, query, gallery))
    training = next(filter(there, (root / "train_171", root / "train")), None)
    train = () if training is None else _records(training)
    if there(root / "query") or there(root / "gallery"):
        if there(root / "test"):
            raise DataError(f"{root}: has test beside query or gallery: keep one of both")
        query, gallery = (_split(root / name, _records) for name in ("query", "gallery"))
        return _paired(DataSet("Market1501-MM", root, train, query, gallery))
    test = _split(root / "test", _records)
    if not train and not test:
        raise DataError(
            f"{root}: no known layout of a data set: looked for the folders train_171, train or "
            "test (RGBNT201), query and gallery (Market1501-MM), and bounding_box_train or "
            "bounding_box_test, also in rgbir (RGBNT100)"
        )
    return DataSet("RGBNT201", root, train, test, test)


def complete(records: Sequence[Record], graph: Graph) -> tuple[Record, ...]:
    """The records, all of which have all modalities of `graph`, and with no others.

    Raises:
        DataError: some lack one; says how many, and names the first three.
    """
    poor = [record for record in records if record.missing(graph)]
    if poor:
        named = ", ".join(f"{r.name} (no {' and '.join(r.missing(graph))})" for r in poor[:3])
        raise DataError(
            f"{len(poor)} of {len(records)} training samples lack a modality: {named}"
            f"{', ...' if len(poor) > 3 else ''}: training needs {_all_of(graph)}; "
            "add the images or remove these samples"
        )
    return tuple(record.within(graph.complete) for record in records)


def _all_of(graph: Graph) -> str:
    count = len(graph.modalities)
    return {1: "it", 2: "both", 3: "all three"}.get(count, f"all {count}")


def unmatched(queries: Sequence[Record], gallery: Sequence[Record]) -> list[Record]:
    """The queries whose identity no other camera of the gallery saw: no protocol counts them."""
    cameras: dict[int, set[int]] = {}
    for record in gallery:
        cameras.setdefault(record.identity, set()).add(record.camera)
    return [q for q in queries if cameras.get(q.identity, set()) <= {q.camera}]


def _split(folder: Path, records: Callable[[Path], tuple[Record, ...]]) -> tuple[Record, ...]:
    return records(folder) if is_folder(folder, DataError) else ()


def _paired(data: DataSet) -> DataSet:
    """`data`, which has queries and a gallery, or neither."""
    if bool(data.query) != bool(data.gallery):
        lacking = "gallery" if data.query else "query"
        raise DataError(f"{data.root}: has no {lacking} images: testing needs query and gallery")
    return data


def _records(split: Path) -> tuple[Record, ...]:
    """The samples of a folder that has a folder for each modality."""
    folders = modality_folders(split, DataError)
    if not folders:
        raise DataError(f"{split}: has no folder of images: expected RGB, NI and TI")
    found: dict[str, dict[Modality, ImageRef]] = {}
    for modality in RGB_NIR_TIR.modalities:
        if modality in folders:
            for name, path in _images(folders[modality]).items():
                found.setdefault(name, {})[modality] = ImageRef(path)
    return _identified(found)


def _wide_records(split: Path) -> tuple[Record, ...]:
    """The samples of a folder of wide images."""
    return _identified(
        {
            name: {m: ImageRef(path, column) for column, m in enumerate(COLUMNS)}
            for name, path in _images(split).items()
        }
    )


def _images(folder: Path) -> dict[str, Path]:
    """The image files of a folder by name, extension aside; other files are passed over."""
    found: dict[str, Path] = {}
    for path in image_files(folder, DataError):
        name = sample_name(path)
        if name in found:
            raise DataError(f"{path}: the same sample as {found[name]}: keep one of them")
        found[name] = path
    if not found:
        raise DataError(f"{folder}: holds no images: fill or remove this folder")
    return found


def _identified(images: Mapping[str, Mapping[Modality, ImageRef]]) -> tuple[Record, ...]:
    """Records of the samples whose names tell an identity other than junk, ordered by name."""
    records: list[Record] = []
    strays: list[Path] = []
    for name in sorted(images, key=natural_order):
        match = next(filter(None, (pattern.fullmatch(name) for pattern in NAMES.values())), None)
        if match is None:
            strays += dict.fromkeys(ref.path for ref in images[name].values())
        elif int(match[1]) != JUNK:
            records.append(Record(name, int(match[1]), int(match[2]) - 1, images[name]))
    if strays:
        others = f" (and {len(strays) - 1} more)" if len(strays) > 1 else ""
        raise DataError(
            f"{strays[0]}{others}: the name tells no identity and camera: rename it like one of "
            f"{', '.join(NAMES)}, or remove it"
        )
    return tuple(records)
