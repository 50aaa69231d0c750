"""What the layouts share: how one is recognized, and samples whose file names say who they show."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from denet.data.sample import DataError, DataSet, ImageRef, Record
from denet.folders import is_folder, natural_order
from denet.graph import Modality
from denet.reading import read_text


@dataclass(frozen=True)
class FolderLayout:
    """A kind of data set on disk, or several that begin alike.

    Attributes:
        looks_like: for messages: its name, then the folders that tell it.
        bases: the folders below a root (or itself) in which such a set begins; none of another set.
        read: the set in a root that begins in this base.
    """

    looks_like: str
    bases: Callable[[Path], Sequence[Path]]
    read: Callable[[Path, Path], DataSet]

    @property
    def name(self) -> str:
        """What it is called, or what those that begin alike are called."""
        return self.looks_like.partition(":")[0]


@dataclass(frozen=True)
class Naming:
    """How file names tell identity and camera.

    Attributes:
        example: one of them, without extension.
        pattern: of a whole name; the groups `identity` and `camera` (from 1).
    """

    example: str
    pattern: re.Pattern[str]


def naming(example: str, pattern: str) -> Naming:
    """A `Naming` of names in ASCII."""
    return Naming(example, re.compile(pattern, re.ASCII))


RGBNT201 = naming("000258_cam1_0_00", r"(?P<identity>\d{6})_cam(?P<camera>\d+)(?:_\d+)*")
MARKET = naming("0002_c1s1_000451_03", r"(?P<identity>-1|\d+)_c(?P<camera>\d+)s\d+(?:_\d+)*")
RGBNT100 = naming("0502_c0001_000", r"(?P<identity>\d+)_c(?P<camera>\d+)(?:_\d+)*")
NAMINGS = (RGBNT201, MARKET, RGBNT100)

JUNK = -1
"""The identity that Market-1501 gives to images that count neither as a match nor as none."""

DISTRACTOR = 0
"""The identity that Market-1501 gives to images of nobody in particular: strangers to everyone."""


def exists(path: Path) -> bool:
    """Whether there is a folder at `path`. Raises: DataError, as `is_folder`."""
    return is_folder(path, DataError)


def identified(
    images: Mapping[str, Mapping[Modality, ImageRef]], namings: Sequence[Naming] = NAMINGS
) -> tuple[Record, ...]:
    """Records of the samples whose names tell an identity other than junk, ordered by name.

    Args:
        images: of each sample, by its name.
        namings: what the names may look like.

    Raises:
        DataError: a name tells no identity; names the file, and how many there are.
    """
    records: list[Record] = []
    strays: list[Path] = []
    for name in sorted(images, key=natural_order):
        match = next(filter(None, (each.pattern.fullmatch(name) for each in namings)), None)
        if match is None:
            strays += dict.fromkeys(ref.path for ref in images[name].values())
        elif int(match["identity"]) != JUNK:
            identity, camera = int(match["identity"]), int(match["camera"]) - 1
            records.append(Record(name, identity, camera, images[name]))
    if strays:
        raise DataError(
            f"{counted(strays)}: the name tells no identity and camera: rename it like one of "
            f"{', '.join(each.example for each in namings)}, or remove it"
        )
    return tuple(records)


def counted(paths: Sequence[Path]) -> str:
    """The first of several files, and how many more there are."""
    others = f" (and {len(paths) - 1} more)" if len(paths) > 1 else ""
    return f"{paths[0]}{others}"


def paired(data: DataSet) -> DataSet:
    """`data`, which has queries and a gallery, or neither.

    Raises:
        DataError: it has one of them.
    """
    if bool(data.query) != bool(data.gallery):
        lacking = "gallery" if data.query else "query"
        raise DataError(f"{data.root}: has no {lacking} images: testing needs query and gallery")
    return data


def whole_files(images: Mapping[Modality, Path]) -> dict[Modality, ImageRef]:
    """Images that are files of their own."""
    return {modality: ImageRef(path) for modality, path in images.items()}


def ordered(records: Iterable[Record]) -> tuple[Record, ...]:
    """Records by name, the same name once.

    Raises:
        DataError: two have the same name.
    """
    found: dict[str, Record] = {}
    for record in records:
        if record.name in found:
            raise DataError(f"{record.name}: is the name of two samples: keep one of them")
        found[record.name] = record
    return tuple(found[name] for name in sorted(found, key=natural_order))


def without_distractors(records: Sequence[Record]) -> tuple[Record, ...]:
    """Records of persons or vehicles that are somebody: a class of strangers cannot be learned."""
    return tuple(record for record in records if record.identity != DISTRACTOR)


def read_list(path: Path) -> list[str]:
    """The lines of a text file that are not empty. Raises: DataError, it cannot be read."""
    return [line.strip() for line in read_text(path, DataError).splitlines() if line.strip()]
