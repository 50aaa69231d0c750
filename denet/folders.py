"""Folders of images: which modality a folder is of, the image files in it, and their names.

What cannot be read is an error, never missing. Hidden files are nobody's images.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from denet.errors import DenetError
from denet.graph import Modality
from denet.images import EXTENSIONS, FOREIGN
from denet.reading import reading

FOLDERS: dict[Modality, tuple[str, ...]] = {
    "rgb": ("rgb", "vis", "visible"),
    "nir": ("ni", "nir"),
    "tir": ("ti", "tir", "th", "thermal"),
}
"""What the folder of a modality is called, in lower case; RGBNT201 has `RGB`, `NI` and `TI`,
MSVR310 `vis`, `ni` and `th`. Modalities that are not here cannot be read from a disk, so nothing
knows them."""

LEFTOVERS = "__MACOSX"
"""The folder in which archives made on macOS keep what is no image, under the names of images."""


def folder_of(modality: Modality) -> str:
    """What the folder of a modality is called where denet writes one: `RGB`, `NI`, `TI`."""
    return FOLDERS[modality][0].upper()


def modality_of(folder: str) -> Modality | None:
    """The modality of a folder called `folder`, in any case; None for any other folder."""
    name = folder.lower()
    return next((modality for modality, names in FOLDERS.items() if name in names), None)


def sample_name(path: Path) -> str:
    """What the file of a sample is called, extension aside, in the composed form of Unicode (NFC):
    file systems and archives store the same name in several."""
    return unicodedata.normalize("NFC", path.stem)


def natural_order(name: str) -> tuple[list[tuple[int, str]], str]:
    """The key by which names are sorted: numbers in them by their value, as a person would.

    `frame_2` comes before `frame_10`, and `frame_2` before `frame_02`.
    """
    parts = re.split("([0-9]+)", name)
    # Texts and numbers alternate. Of numbers without leading zeros, the longer is greater.
    numbers = [part.lstrip("0") if i % 2 else part for i, part in enumerate(parts)]
    return [(len(n) if i % 2 else 0, n) for i, n in enumerate(numbers)], name


def is_folder(path: Path, error: type[DenetError]) -> bool:
    """Whether there is a folder at `path`; links are followed.

    Raises:
        error: it cannot be told, or `path` is a link that leads nowhere.
    """
    with reading(path, error):
        try:
            return stat.S_ISDIR(path.stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            if path.is_symlink():
                raise error(f"{path}: is a link that leads nowhere") from None
            return False


def modality_folders(root: Path, error: type[DenetError]) -> dict[Modality, Path]:
    """The folder of each modality in `root`, in the order of `FOLDERS`; links are followed.

    Raises:
        error: `root` cannot be read; or a folder is there twice, or leads nowhere, cannot be read,
            or is a link back to where it is in.
    """
    found: dict[Modality, Path] = {}
    with reading(root, error), os.scandir(root) as entries:
        names = sorted(entry.name for entry in entries)
    for name in names:
        modality, path = modality_of(name), root / name
        if modality is None or not is_folder(path, error):
            continue
        if modality in found:
            raise error(f"{path}: the same modality as {found[modality]}: keep one of them")
        if _leads_back(path):
            raise error(f"{path}: is a link to a folder that it is in")
        found[modality] = path
    return {m: found[m] for m in FOLDERS if m in found}


def subfolders(folder: Path, error: type[DenetError]) -> list[Path]:
    """The folders in `folder`, in the order of the numbers in their names.

    Links are followed. Hidden folders and `LEFTOVERS` are passed over.

    Raises:
        error: the folder cannot be read, or one in it is a link back to where it is in.
    """
    with reading(folder, error), os.scandir(folder) as entries:
        names = [entry.name for entry in entries if _visible_folder(entry)]
    found = [folder / name for name in sorted(names, key=natural_order)]
    for path in found:
        if _leads_back(path):
            raise error(f"{path}: is a link to a folder that it is in")
    return found


def named_images(folder: Path, error: type[DenetError]) -> dict[str, Path]:
    """The image files in `folder` by `sample_name`, in the order of their numbers.

    Raises:
        error: as `image_files`, or two files have the same name.
    """
    found: dict[str, Path] = {}
    for path in image_files(folder, error):
        name = sample_name(path)
        if name in found:
            raise error(f"{path}: the same sample as {found[name]}: keep one of them")
        found[name] = path
    return found


def paired_images(
    folders: Mapping[Modality, Path], error: type[DenetError]
) -> dict[str, dict[Modality, Path]]:
    """The images of samples by name, in the order of the numbers in it: files of one name,
    extension aside, are one sample.

    Args:
        folders: of each modality, as `modality_folders` gives them.
        error: to raise.

    Raises:
        error: as `named_images`.
    """
    found: dict[str, dict[Modality, Path]] = {}
    for modality, folder in folders.items():
        for name, path in named_images(folder, error).items():
            found.setdefault(name, {})[modality] = path
    return {name: found[name] for name in sorted(found, key=natural_order)}


def image_files(folder: Path, error: type[DenetError]) -> list[Path]:
    """The image files in `folder`, by their extensions, in the order of their numbers.

    Links are followed. Hidden files, folders, and files of other kinds are passed over.

    Raises:
        error: the folder cannot be read.
    """
    with reading(folder, error), os.scandir(folder) as entries:
        names = [entry.name for entry in entries if _named_as_image(entry)]
    return [folder / name for name in sorted(names, key=natural_order)]


def images_below(root: Path, error: type[DenetError]) -> Iterator[Path]:
    """The image files in `root` and in the folders below it, a folder's own first, in the order of
    the numbers in their names.

    Links are followed, but for those that lead back to where they are in. Hidden files and folders
    are passed over.

    Raises:
        error: a folder cannot be read.
    """
    yield from (path for _, path in _walk(root, root, frozenset(), lambda _: True, error))


def stray_images(root: Path, error: type[DenetError]) -> Iterator[Path]:
    """The image files below `root` that are in no folder of a modality, or deeper in one.

    Links are followed, but for those that lead back to where they are in. A folder of no modality
    that must not be read is passed over.

    Raises:
        error: a folder cannot be read.
    """

    def matters(parts: tuple[str, ...]) -> bool:
        return not parts or modality_of(parts[0]) is not None

    for parts, path in _walk(root, root, frozenset(), matters, error):
        if len(parts) != 1 or not matters(parts):
            yield path


def _walk(
    root: Path,
    folder: Path,
    above: frozenset[Path],
    matters: Callable[[tuple[str, ...]], bool],
    error: type[DenetError],
) -> Iterator[tuple[tuple[str, ...], Path]]:
    """The image files in a folder below `root`, each with the names of the folders above it.

    Args:
        root: where the walk began.
        folder: where it is.
        above: the folders in which it is, links resolved.
        matters: whether a folder that must not be read is an error.
        error: to raise.

    Raises:
        error: a folder cannot be read.
    """
    parts = folder.relative_to(root).parts
    with reading(folder, error):
        here = above | {folder.resolve()}
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: natural_order(entry.name))
        except PermissionError:
            if matters(parts):
                raise
            return
    yield from ((parts, folder / entry.name) for entry in found if _named_as_image(entry))
    for entry in found:
        if _visible_folder(entry) and (folder / entry.name).resolve() not in here:
            yield from _walk(root, folder / entry.name, here, matters, error)


def _named_as_image(entry: os.DirEntry[str]) -> bool:
    extension = Path(entry.name).suffix.lower()
    known = extension in EXTENSIONS or extension in FOREIGN
    return known and not entry.name.startswith(".") and not _visible_folder(entry)


def _visible_folder(entry: os.DirEntry[str]) -> bool:
    try:
        hidden = entry.name.startswith(".") or entry.name == LEFTOVERS
        return not hidden and entry.is_dir()
    except OSError:  # a link that leads nowhere, or in a circle: opening it says why
        return False


def _leads_back(path: Path) -> bool:
    target, home = path.resolve(), path.parent.resolve()
    return target == home or target in home.parents
