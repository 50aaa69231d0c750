"""Folders of images: which modality a folder is of, and the image files that are in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from PIL import Image

from denet.graph import Modality

FOLDERS: dict[Modality, tuple[str, ...]] = {
    "rgb": ("rgb",),
    "nir": ("ni", "nir"),
    "tir": ("ti", "tir"),
}
"""What the folder of a modality is called, in lower case; RGBNT201 has `RGB`, `NI` and `TI`.
Modalities that are not here cannot be read from a disk, so nothing knows them."""


def folder_of(modality: Modality) -> str:
    """What the folder of a modality is called where denet writes one: `RGB`, `NI`, `TI`."""
    return FOLDERS[modality][0].upper()


def modality_of(folder: str) -> Modality | None:
    """The modality of a folder called `folder`, in any case; None for any other folder."""
    name = folder.lower()
    return next((modality for modality, names in FOLDERS.items() if name in names), None)


def image_files(folder: Path, *, deep: bool = False) -> list[Path]:
    """The image files in `folder`, by their extensions, in order; other files are passed over.

    Symbolic links are followed, but for those that lead back to where they are in.

    Args:
        folder: where to look.
        deep: also in all folders within it. One that must not be read is passed over.
    """
    extensions = Image.registered_extensions()

    def walk(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
        here = above | {folder.resolve()}
        with os.scandir(folder) as entries:
            for entry in entries:
                path = folder / entry.name
                if path.suffix.lower() in extensions:
                    yield path
                if deep and entry.is_dir() and path.resolve() not in here:
                    with suppress(PermissionError):
                        yield from walk(path, here)

    return sorted(walk(folder, frozenset()))
