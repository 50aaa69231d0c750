"""Sets whose root has the folders `train` and `test`, or `query` and `gallery`.

What the folders hold tells which it is:

- folders of modalities, whose file names tell identity and camera: **RGBNT201** (`train_171` or
  `train`, and `test`), and **Market1501-MM** (`train`, `query` and `gallery`). Query and gallery of
  RGBNT201 are both all of `test`; the protocol's camera rule takes the query out.
- a folder for each vehicle, with folders of modalities, whose file names tell the camera:
  **WMVEID863** (`train`, `query`, and `test` or `gallery`).
- a **folder per person**, with images or folders of modalities in it.
"""

from __future__ import annotations

from pathlib import Path

from denet.data.layouts.base import FolderLayout, exists, identified, paired, whole_files
from denet.data.layouts.people import CameraNames, read_people
from denet.data.sample import DataError, DataSet, Record
from denet.folders import image_files, modality_folders, paired_images, subfolders
from denet.graph import RGB_NIR_TIR

TRAINING = ("train_171", "train")
"""The first of them that is there holds the training data: published results on RGBNT201 train on
`train_171`, which holds `train` and `val`."""

WMVEID863 = CameraNames("WMVEID863", r"v(?P<camera>\d)(?=\D).*")
"""`v1_n0_s001_...`: view, day or night, scene. The protocol goes by the view."""


def _bases(root: Path) -> list[Path]:
    names = (*TRAINING, "test", "query", "gallery")
    # Beside `bounding_box_train`, `query` is of another layout.
    other = any(exists(root / f"bounding_box_{part}") for part in ("train", "test"))
    return [root] if not other and any(exists(root / name) for name in names) else []


def _read(root: Path, base: Path) -> DataSet:
    training = next((base / name for name in TRAINING if exists(base / name)), None)
    folders = {name: base / name for name in ("test", "query", "gallery") if exists(base / name)}
    every = [*([training] if training else []), *folders.values()]
    kinds = {folder: bool(modality_folders(folder, DataError)) for folder in every}
    if not any(kinds.values()) and all(_has_people(folder) for folder in every):
        return _read_people(root, training, folders)
    for folder, has_modalities in kinds.items():
        if not has_modalities:
            raise DataError(f"{folder}: has no folder of images: expected RGB, NI and TI")
    train = () if training is None else _by_names(training)
    if "test" in folders and len(folders) > 1:
        raise DataError(f"{root}: has test beside query or gallery: keep one of both")
    if "test" in folders or len(folders) == 0:
        test = _by_names(folders["test"]) if folders else ()
        return DataSet("RGBNT201", root, train, test, test)
    query, gallery = (
        _by_names(folders[name]) if name in folders else () for name in ("query", "gallery")
    )
    return paired(DataSet("Market1501-MM", root, train, query, gallery))


def _has_people(folder: Path) -> bool:
    """Whether it holds a folder for each person, and no image beside them."""
    return not image_files(folder, DataError) and bool(subfolders(folder, DataError))


def _read_people(root: Path, training: Path | None, folders: dict[str, Path]) -> DataSet:
    if len(folders) == 3:
        raise DataError(f"{root}: has test beside gallery: keep one of both")
    # With queries, `test` holds the gallery.
    gallery = folders.get("gallery") or folders.get("test")
    query = folders.get("query") or (gallery if "gallery" not in folders else None)
    splits = list(dict.fromkeys(each for each in (training, query, gallery) if each))
    name, records = read_people(splits, WMVEID863)
    train, queries, searched = (records[f] if f else () for f in (training, query, gallery))
    return paired(DataSet(name, root, train, queries, searched))


def _by_names(split: Path) -> tuple[Record, ...]:
    """The samples of a folder that has a folder for each modality."""
    folders = modality_folders(split, DataError)
    for folder in folders.values():
        if not image_files(folder, DataError):
            raise DataError(f"{folder}: holds no images: fill or remove this folder")
    known = {m: folders[m] for m in RGB_NIR_TIR.modalities if m in folders}
    return identified({n: whole_files(i) for n, i in paired_images(known, DataError).items()})


LAYOUT = FolderLayout(
    "RGBNT201, Market1501-MM, WMVEID863 or a folder per person: the folders train_171, train or "
    "test, or query and gallery",
    _bases,
    _read,
)
