"""Sets of two sensors whose images are not taken at one moment: a sample has one modality.

- **RegDB**: `Visible` and `Thermal` with a folder for each person, and `idx` with lists of the
  images of ten trials; the first is read. Queries are visible, the gallery is thermal.
- **SYSU-MM01**: `cam1` to `cam6` with a folder for each person, and `exp` with lists of identities.
  Cameras 3 and 6 are near infrared. Queries are near infrared, the gallery is visible.
- **LLCM**: `vis`, `nir`, `test_vis` and `test_nir`, and `idx`. Queries are near infrared, the
  gallery is visible.

The gallery of SYSU-MM01 and LLCM has one image of each person by each camera, drawn with a fixed
seed; published figures are means over ten such draws.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random

from denet.data.layouts.base import FolderLayout, counted, exists, ordered, paired, read_list
from denet.data.sample import DataError, DataSet, ImageRef, Record
from denet.folders import image_files, is_folder, sample_name
from denet.graph import Modality

SYSU_CAMERAS: dict[int, Modality] = {1: "rgb", 2: "rgb", 3: "nir", 4: "rgb", 5: "rgb", 6: "nir"}

SYSU_PLACES = {3: 2}
"""Camera 3 stands beside camera 2, and the protocol takes them for one."""

LLCM_NAME = re.compile(r"_c(\d+)_", re.ASCII)
LLCM_CAMERAS = range(1, 10)

DRAW = 0
"""Seed of the gallery."""


def _regdb(root: Path, base: Path) -> DataSet:
    def listed(part: str, modality: Modality, sensor: str, camera: int) -> tuple[Record, ...]:
        path = base / "idx" / f"{part}_{sensor}_1.txt"
        return ordered(
            Record(f"{image.parent.name}/{sample_name(image)}", _number(image.parent), camera,
                   {modality: ImageRef(image)})
            for image in _listed(base, path)
        )  # fmt: skip

    train: tuple[Record, ...] = ()
    visible: tuple[Record, ...] = ()
    thermal: tuple[Record, ...] = ()
    if (base / "idx" / "train_visible_1.txt").exists():
        train = (*listed("train", "rgb", "visible", 0), *listed("train", "tir", "thermal", 1))
    if (base / "idx" / "test_visible_1.txt").exists():
        visible = listed("test", "rgb", "visible", 0)
        thermal = listed("test", "tir", "thermal", 1)
    return _there(DataSet("RegDB", root, train, visible, thermal))


def _sysu(root: Path, base: Path) -> DataSet:
    def seen(ids: Sequence[int], modality: Modality | None = None) -> list[Record]:
        return [
            record
            for camera, kind in SYSU_CAMERAS.items()
            if modality in (None, kind)
            for identity in ids
            for record in _in_camera(
                base / f"cam{camera}", identity, kind, SYSU_PLACES.get(camera, camera) - 1
            )
        ]

    trained = [*_ids(base / "exp" / "train_id.txt"), *_ids(base / "exp" / "val_id.txt")]
    tested = _ids(base / "exp" / "test_id.txt")
    gallery = _one_of_each(seen(tested, "rgb"))
    return _there(
        DataSet("SYSU-MM01", root, ordered(seen(trained)), ordered(seen(tested, "nir")), gallery)
    )


def _llcm(root: Path, base: Path) -> DataSet:
    def trained(modality: Modality, sensor: str) -> Iterator[Record]:
        path = base / "idx" / f"train_{sensor}.txt"
        for image in _listed(base, path) if path.exists() else ():
            told = LLCM_NAME.search(image.name)
            if told is None:
                raise DataError(f"{image}: the name tells no camera: expected _c and a number")
            name = f"{sensor}/{image.parent.name}/{sample_name(image)}"
            yield Record(name, _number(image.parent), int(told[1]) - 1, {modality: ImageRef(image)})

    def tested(modality: Modality, sensor: str) -> list[Record]:
        return [
            record
            for camera in LLCM_CAMERAS
            for identity in ids
            for record in _in_camera(
                base / f"test_{sensor}" / f"cam{camera}", identity, modality, camera - 1
            )
        ]

    ids = _ids(base / "idx" / "test_id.txt")
    train = ordered([*trained("rgb", "vis"), *trained("nir", "nir")])
    gallery = _one_of_each(tested("rgb", "vis"))
    return _there(DataSet("LLCM", root, train, ordered(tested("nir", "nir")), gallery))


def _there(data: DataSet) -> DataSet:
    if not data.train and not data.query and not data.gallery:
        raise DataError(f"{data.root}: looks like {data.name}, but its lists name no images")
    return paired(data)


def _in_camera(folder: Path, identity: int, modality: Modality, camera: int) -> list[Record]:
    """What one camera saw of one person: `cam3/0007/0001.jpg`."""
    person = folder / f"{identity:04d}"
    if not is_folder(person, DataError):
        return []
    return [
        Record(f"{folder.name}/{person.name}/{sample_name(path)}", identity, camera,
               {modality: ImageRef(path)})
        for path in image_files(person, DataError)
    ]  # fmt: skip


def _one_of_each(records: Sequence[Record]) -> tuple[Record, ...]:
    """One record of each identity by each camera."""
    groups: dict[tuple[int, int], list[Record]] = {}
    for record in records:
        groups.setdefault((record.identity, record.camera), []).append(record)
    random = Random(DRAW)
    return ordered(random.choice(groups[key]) for key in sorted(groups))


def _ids(path: Path) -> list[int]:
    """Identities, separated by commas; none where there is no such list."""
    if not path.exists():
        return []
    words = [word.strip() for line in read_list(path) for word in line.split(",")]
    wrong = next((word for word in words if word and not re.fullmatch("[0-9]+", word)), None)
    if wrong is not None:
        raise DataError(f"{path}: {wrong[:40]!r} is no identity: expected numbers and commas")
    return sorted({int(word) for word in words if word})


def _listed(base: Path, path: Path) -> list[Path]:
    """The images that a list names, each in a line with a label: `Visible/7/name.bmp 3`."""
    images: list[Path] = []
    outside: list[Path] = []
    absent: list[Path] = []
    for line in read_list(path):
        name = Path(line.rpartition(" ")[0] or line)
        image = base / name
        if name.is_absolute() or ".." in name.parts:
            outside.append(image)
        elif not image.is_file():
            absent.append(image)
        else:
            images.append(image)
    if outside:
        raise DataError(f"{path}: names {counted(outside)}, outside of {base}")
    if absent:
        raise DataError(f"{path}: names {counted(absent)}, where there is no file")
    return images


def _number(folder: Path) -> int:
    """The identity that a folder is called by."""
    if not re.fullmatch("[0-9]+", folder.name):
        raise DataError(f"{folder}: is called by no number of a person")
    return int(folder.name)


def _begins(*folders: str, lists: Sequence[str]) -> Callable[[Path], list[Path]]:
    """How a set is recognized: by folders, all of which are there, and one of some lists."""

    def bases(root: Path) -> list[Path]:
        there = all(exists(root / name) for name in folders)
        return [root] if there and any((root / name).exists() for name in lists) else []

    return bases


LAYOUTS = (
    FolderLayout(
        "RegDB: the folders Visible, Thermal and idx",
        _begins("Visible", "Thermal", lists=("idx/train_visible_1.txt", "idx/test_visible_1.txt")),
        _regdb,
    ),
    FolderLayout(
        "SYSU-MM01: the folders cam1 to cam6 and exp",
        _begins("cam1", "cam3", lists=("exp/train_id.txt", "exp/test_id.txt")),
        _sysu,
    ),
    FolderLayout(
        "LLCM: the folders vis, nir and idx",
        _begins("vis", "nir", lists=("idx/train_vis.txt", "idx/test_id.txt")),
        _llcm,
    ),
)
