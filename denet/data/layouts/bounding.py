"""Sets whose root, or a folder in it, has `bounding_box_train` and `bounding_box_test`.

What these hold tells which it is:

- a folder for each vehicle, with the folders `vis`, `ni` and `th`: **MSVR310**; the queries are in
  `query3`. Its protocol drops what was taken of the same vehicle in the same scene, so the scene
  stands where other sets have the camera.
- images called as Market-1501 calls them, of one modality: **Market-1501**, in
  `Market-1501-v15.09.15` or directly.
- images that hold RGB, NI and TI side by side: **RGBNT100**, in `rgbir` or directly.
"""

from __future__ import annotations

from pathlib import Path

from denet.data.layouts.base import (
    MARKET,
    RGBNT100,
    FolderLayout,
    exists,
    identified,
    paired,
    without_distractors,
)
from denet.data.layouts.people import CameraNames, read_people
from denet.data.sample import COLUMNS, DataError, DataSet, ImageRef, Record, read_image
from denet.folders import image_files, named_images, sample_name, subfolders
from denet.images import size_of

TRAIN, TEST = "bounding_box_train", "bounding_box_test"
INSIDE = ("rgbir", "Market-1501-v15.09.15")
"""Folders in which these may be, with the images of RGBNT100 and of Market-1501."""

MSVR310 = CameraNames("MSVR310", r"\d+_s(?P<camera>\d+)_v\d+_\d+")
"""`0268_s000_v0_000`: vehicle, scene, view."""

LEAST_WIDE = 1.5
"""Width by height of three images side by side, at least: one person's is 0.5, a vehicle's 1 to 2,
and RGBNT100's are 6."""

LOOKED_AT = 8
"""Images of a folder that tell how wide they are."""


def _bases(root: Path) -> list[Path]:
    places = [root, *(root / name for name in INSIDE)]
    return [place for place in places if exists(place / TRAIN) or exists(place / TEST)]


def _read(root: Path, base: Path) -> DataSet:
    folders = {name: base / name for name in (TRAIN, "query3", "query", TEST)}
    there = {name: folder for name, folder in folders.items() if exists(folder)}
    first = next(folder for name, folder in there.items() if name in (TRAIN, TEST))
    if not image_files(first, DataError) and subfolders(first, DataError):
        return _msvr310(root, there)
    there.pop("query3", None)
    names = [sample_name(path) for path in image_files(first, DataError)]
    if any(MARKET.pattern.fullmatch(name) for name in names):
        train, query, gallery = (_market(there, name) for name in (TRAIN, "query", TEST))
        return paired(DataSet("Market-1501", root, without_distractors(train), query, gallery))
    _check_wide(first)
    train, query, gallery = (_wide(there, name) for name in (TRAIN, "query", TEST))
    return paired(DataSet("RGBNT100", root, train, query, gallery))


def _msvr310(root: Path, there: dict[str, Path]) -> DataSet:
    if "query3" not in there and "query" in there:
        there["query3"] = there["query"]
    splits = [there[name] for name in (TRAIN, "query3", TEST) if name in there]
    name, records = read_people(splits, MSVR310)
    if name != MSVR310.layout:
        raise DataError(
            f"{splits[0]}: has folders of vehicles as MSVR310 has, but file names tell no scene: "
            "rename them like 0268_s000_v0_000"
        )
    train, query, gallery = (
        records[there[part]] if part in there else () for part in (TRAIN, "query3", TEST)
    )
    return paired(DataSet(name, root, train, query, gallery))


def _market(there: dict[str, Path], name: str) -> tuple[Record, ...]:
    if name not in there:
        return ()
    images = _images(there[name])
    return identified({n: {"rgb": ImageRef(path)} for n, path in images.items()}, [MARKET])


def _wide(there: dict[str, Path], name: str) -> tuple[Record, ...]:
    if name not in there:
        return ()
    return identified(
        {
            name: {m: ImageRef(path, column) for column, m in enumerate(COLUMNS)}
            for name, path in _images(there[name]).items()
        },
        [RGBNT100],
    )


def _images(folder: Path) -> dict[str, Path]:
    found = named_images(folder, DataError)
    if not found:
        raise DataError(f"{folder}: holds no images: fill or remove this folder")
    return found


def _check_wide(folder: Path) -> None:
    """See that some of the first images may be three side by side.

    Raises:
        DataError: none is, or none can be read.
    """
    sizes: dict[Path, tuple[int, int]] = {}
    for path in image_files(folder, DataError)[:LOOKED_AT]:
        try:
            sizes[path] = size_of(read_image(path))
        except DataError:
            continue  # which is told when the set is checked
    if sizes and not any(width >= LEAST_WIDE * height for width, height in sizes.values()):
        path, (width, height) = next(iter(sizes.items()))
        raise DataError(
            f"{path}: has {width}x{height} pixels: RGBNT100 has RGB, NI and TI side by side in one "
            "file, and file names like 0502_c0001_000; `denet data import` reads other sets"
        )


LAYOUTS = (
    FolderLayout(
        f"RGBNT100, MSVR310 or Market-1501: the folders {TRAIN} or {TEST}, also in "
        f"{' or '.join(INSIDE)}",
        _bases,
        _read,
    ),
)
