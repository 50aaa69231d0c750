"""Images that a table names: CSV with the columns path, identity, camera, modality and sample."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from denet.data.importing.found import (
    DEFAULT,
    FoundImage,
    ImageSource,
    check_pairs,
    modalities_of,
)
from denet.data.layouts.base import counted
from denet.data.sample import DataError
from denet.folders import sample_name
from denet.graph import Modality
from denet.reading import read_text, reading

NEEDED = ("path", "identity")
COLUMNS = (*NEEDED, "camera", "modality", "sample")


def by_table(root: Path, table: Path, named: Mapping[str, Modality]) -> ImageSource:
    """The images that a table names.

    Its first row names the columns. `path` is from `root`, or whole and in `root`; `sample` is what
    the images of one moment have in common, by default the name of the file.

    Args:
        root: the source.
        table: CSV in UTF-8, with commas or semicolons.
        named: names of modalities, as `parse_modalities` gives them.

    Raises:
        DataError: a column is missing, a cell is empty, a path leads out of `root`, to no file or
            stands there twice, a modality is unknown, or two images are of one sample and modality.
    """
    with reading(table, DataError, "not a table of CSV"):
        rows = list(_rows(table))
    if not rows:
        raise DataError(f"{table}: has no row below the names of its columns")
    paths = [_inside(root, table, line, row["path"]) for line, row in rows]
    absent = [path for path in paths if not path.is_file()]
    if absent:
        raise DataError(f"{table}: names {counted(absent)}, where there is no file")
    seen: dict[str, int] = {}
    for (line, _), path in zip(rows, paths, strict=True):
        first = seen.setdefault(str(path), line)
        if first != line:
            raise DataError(f"{table}: line {line}: {path} stands in line {first} as well")
    folders = modalities_of((row["modality"] for _, row in rows if "modality" in row), named)
    images = tuple(
        FoundImage(
            path=path,
            modality=folders[row["modality"]] if "modality" in row else DEFAULT,
            folder=row.get("modality", ""),
            identity=row["identity"],
            camera=row.get("camera"),
            sample=row.get("sample") or sample_name(path),
        )
        for (_, row), path in zip(rows, paths, strict=True)
    )
    check_pairs(images, "give another sample to one of them")
    return ImageSource(images, f"the table {table}", _unread(table))


def _rows(table: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Each row with its line, and those of its cells that are read."""
    text = read_text(table, DataError)
    head = text.partition("\n")[0]
    lines = csv.reader(text.splitlines(), delimiter=";" if ";" in head else ",", strict=True)
    names = [name.strip().lower() for name in next(lines, [])]
    for column in NEEDED:
        if column not in names:
            raise DataError(
                f"{table}: has no column {column!r}: it has {', '.join(names) or 'none'}; expected "
                f"{', '.join(COLUMNS)}"
            )
    if twice := next((name for name in names if name in COLUMNS and names.count(name) > 1), None):
        raise DataError(f"{table}: has the column {twice!r} twice")
    for cells in lines:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(names):
            raise DataError(
                f"{table}: line {lines.line_num}: has {len(cells)} cells in {len(names)} columns"
            )
        row = {n: cell.strip() for n, cell in zip(names, cells, strict=True) if n in COLUMNS}
        empty = next((name for name, cell in row.items() if not cell), None)
        if empty is not None:
            raise DataError(f"{table}: line {lines.line_num}: {empty} is empty")
        yield lines.line_num, row


def _unread(table: Path) -> tuple[str, ...]:
    head = read_text(table, DataError).partition("\n")[0].strip()
    names = [name.strip() for name in head.replace(";", ",").split(",")]
    others = [name for name in names if name.lower() not in COLUMNS]
    return (f"columns that are not read: {', '.join(others)}",) if others else ()


def _inside(root: Path, table: Path, line: int, text: str) -> Path:
    """The path of a row, which must not lead out of the source."""
    path = Path(os.path.normpath(root.absolute() / text))
    if "\0" in text or Path(os.path.normpath(root.absolute())) not in path.parents:
        raise DataError(f"{table}: line {line}: {text!r} is outside of {root}")
    return path
