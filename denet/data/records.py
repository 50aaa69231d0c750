"""Data sets on disk, in every layout that is known: `open_data`, and what it gives."""

from __future__ import annotations

from pathlib import Path

from denet.data.layouts import bounding, crossmodal, splits
from denet.data.layouts.base import FolderLayout
from denet.data.sample import (
    DataError,
    DataSet,
    ImageRef,
    Record,
    complete,
    graph_of,
    read_image,
    unmatched,
)
from denet.folders import is_folder

__all__ = [
    "DataError",
    "DataSet",
    "ImageRef",
    "Record",
    "complete",
    "graph_of",
    "is_data",
    "open_data",
    "read_image",
    "unmatched",
]

LAYOUTS: tuple[FolderLayout, ...] = (*bounding.LAYOUTS, *crossmodal.LAYOUTS, splits.LAYOUT)
"""How folders of data are recognized and read."""


def open_data(root: Path) -> DataSet:
    """The data set in the folder `root`, in one of the layouts that docs/data.md lists.

    A layout is recognized by its folders, and never taken for another one. Either training or
    test data may be absent. A sample without an image in some modality is kept: it is in another
    missing state.

    Raises:
        DataError: no layout is recognized or several, a folder holds no images, or a file's name
            tells no identity, or is in a folder twice; names the file.
    """
    if not is_folder(root, DataError):
        raise DataError(f"{root}: there is no such folder of data")
    found = [(layout, base) for layout in LAYOUTS for base in layout.bases(root)]
    if not found:
        looked = "; ".join(layout.looks_like for layout in LAYOUTS)
        raise DataError(
            f"{root}: no known layout of a data set: looked for {looked}. `denet data import` "
            "makes a set of folders of your own"
        )
    if len(found) > 1:
        places = ", ".join(f"{layout.name} in {base}" for layout, base in found)
        raise DataError(f"{root}: holds several data sets ({places}): name the folder of one")
    layout, base = found[0]
    return layout.read(root, base)


def is_data(root: Path) -> bool:
    """Whether a folder looks like a data set, as `open_data` recognizes it. Raises: DataError."""
    return any(layout.bases(root) for layout in LAYOUTS)
