"""An image that was found, and what its name or its row of a table says of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from denet.data.sample import DataError
from denet.folders import FOLDERS, modality_of
from denet.graph import Modality

DEFAULT: Modality = "rgb"
"""Where nothing tells a modality."""


@dataclass(frozen=True)
class FoundImage:
    """One image of a source.

    Attributes:
        path: the file.
        modality: that it is of.
        folder: what the source calls that modality; "" where it does not.
        identity: whom it shows, as the source says it.
        camera: that saw them, as the source says it; None where it does not.
        sample: what images of one moment have in common, beside identity and camera.
    """

    path: Path
    modality: Modality
    folder: str
    identity: str
    camera: str | None
    sample: str


@dataclass(frozen=True)
class ImageSource:
    """What was found.

    Attributes:
        images: in the order of their paths.
        told_by: the pattern or the table that says what they are.
        notes: one line each: what was left out, or was not asked for.
    """

    images: tuple[FoundImage, ...]
    told_by: str
    notes: tuple[str, ...] = field(default=())


def parse_modalities(given: Sequence[str]) -> dict[str, Modality]:
    """What a user calls the modalities: `tir=flir` gives {"flir": "tir"}.

    Raises:
        DataError: one is no such assignment, or names an unknown modality.
    """
    named: dict[str, Modality] = {}
    for text in given:
        modality, equals, name = text.partition("=")
        if not equals or not name or modality not in FOLDERS:
            raise DataError(
                f"--modality {text!r}: write one of {', '.join(FOLDERS)}, = and what it is called, "
                "as tir=flir"
            )
        if named.get(name.lower(), modality) != modality:
            raise DataError(f"--modality {text!r}: {name} is called {named[name.lower()]} as well")
        named[name.lower()] = modality
    return named


def modalities_of(names: Iterable[str], named: Mapping[str, Modality]) -> dict[str, Modality]:
    """The modality that each of some names of a source stands for.

    Args:
        names: as the source has them.
        named: what the user says, by names in lower case.

    Raises:
        DataError: one is unknown; names all that are.
    """
    found = {name: named.get(name.lower()) or modality_of(name) for name in dict.fromkeys(names)}
    unknown = [name for name, modality in found.items() if modality is None]
    if unknown:
        shown = ", ".join(repr(name) for name in unknown[:5])
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        raise DataError(
            f"{shown}{more}: unknown as a modality: say which it is by --modality tir={unknown[0]}"
        )
    return {name: modality for name, modality in found.items() if modality is not None}


def check_pairs(images: Sequence[FoundImage], mend: str) -> None:
    """See that no sample has two images of one modality.

    Args:
        images: all of a source.
        mend: what to do about it.

    Raises:
        DataError: one has; names both files.
    """
    seen: dict[tuple[str, str | None, str, Modality], Path] = {}
    for image in images:
        key = image.identity, image.camera, image.sample, image.modality
        if key in seen:
            raise DataError(
                f"{image.path}: the same sample in {image.modality} as {seen[key]}: {mend}"
            )
        seen[key] = image.path
