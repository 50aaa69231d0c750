"""A folder for each person or vehicle, with its images, or with a folder for each modality."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from denet.data.layouts.base import counted, whole_files
from denet.data.sample import DataError, Record
from denet.folders import (
    image_files,
    modality_folders,
    named_images,
    natural_order,
    paired_images,
    sample_name,
    subfolders,
)
from denet.graph import RGB_NIR_TIR, Modality

FOLDERS = "folder per person"
"""What such a set is called where file names tell no camera."""


@dataclass(frozen=True)
class CameraNames:
    """File names that tell by which camera, in folders that tell whom.

    Attributes:
        layout: that has them.
        pattern: of a name's beginning or whole; the group `camera`.
    """

    layout: str
    pattern: str

    def camera(self, name: str) -> int | None:
        """The number in a name; None if it is another kind of name."""
        found = re.fullmatch(self.pattern, name, re.ASCII)
        return int(found["camera"]) if found else None


def read_people(
    splits: Sequence[Path], names: CameraNames
) -> tuple[str, dict[Path, tuple[Record, ...]]]:
    """The samples of some folders that hold a folder for each person.

    Folders of numbers are of these identities; otherwise identities are counted in the order of
    the names, over all splits. Where all names tell a camera, that is it. Otherwise nobody knows
    it: each sample then has a camera of its own, so that the protocol drops the query itself and
    nothing else.

    Args:
        splits: the folders.
        names: what a name looks like that tells the camera.

    Returns:
        What such a set is called, and the records of each split, ordered by identity and name.

    Raises:
        DataError: a folder holds images beside folders of persons, or holds none.
    """
    found = {split: _people(split) for split in splits}
    persons = sorted({name for people in found.values() for name in people}, key=natural_order)
    numbered = all(re.fullmatch("[0-9]+", name) for name in persons)
    identities = {name: int(name) if numbered else i for i, name in enumerate(persons)}
    if len(set(identities.values())) < len(identities):
        raise DataError(f"{splits[0]}: two folders have the same number: rename one of them")
    every = [n for people in found.values() for samples in people.values() for n in samples]
    told = numbered and all(names.camera(name) is not None for name in every)
    records: dict[Path, tuple[Record, ...]] = {}
    for split, people in found.items():
        made: list[Record] = []
        for person, samples in people.items():
            for place, (name, images) in enumerate(samples.items()):
                camera = names.camera(name) if told else place
                assert camera is not None
                where = f"{person}/{name}"
                made.append(Record(where, identities[person], camera, whole_files(images)))
        records[split] = tuple(made)
    return names.layout if told else FOLDERS, records


def _people(split: Path) -> dict[str, dict[str, dict[Modality, Path]]]:
    """Persons in the order of their names, their samples likewise, the images of each."""
    if beside := image_files(split, DataError):
        raise DataError(f"{counted(beside)}: beside folders of persons: move it into one of them")
    people: dict[str, dict[str, dict[Modality, Path]]] = {}
    for folder in subfolders(split, DataError):
        person = sample_name(folder.parent / f"{folder.name}.x")
        if person in people:
            raise DataError(f"{folder}: the same person as another folder: keep one of them")
        people[person] = _samples(folder)
    if not people:
        raise DataError(f"{split}: holds no folders of persons: fill or remove this folder")
    return people


def _samples(folder: Path) -> dict[str, dict[Modality, Path]]:
    modalities = modality_folders(folder, DataError)
    inside = image_files(folder, DataError)
    if modalities and inside:
        raise DataError(f"{counted(inside)}: beside folders of modalities: move it into one")
    if modalities:
        known = {m: modalities[m] for m in RGB_NIR_TIR.modalities if m in modalities}
        return paired_images(known, DataError)
    if not inside:
        raise DataError(f"{folder}: holds no images: fill or remove this folder")
    return {name: {"rgb": path} for name, path in named_images(folder, DataError).items()}
