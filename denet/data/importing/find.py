"""What a source holds, by a pattern, by a table, or by what its paths look like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from denet.data.importing.found import ImageSource, parse_modalities
from denet.data.importing.pattern import by_guess, by_pattern, parse_pattern
from denet.data.importing.table import by_table
from denet.data.records import DataError, is_data, open_data
from denet.folders import is_folder


def find_source(
    root: Path, pattern: str | None, table: Path | None, modalities: Sequence[str]
) -> ImageSource:
    """The images of a source, and what is said of them.

    Args:
        root: the folder.
        pattern: of the paths in it, as a user writes it.
        table: a file of CSV; not with a pattern.
        modalities: what the source calls them, each as `tir=flir`.

    Raises:
        DataError: there is no such folder, both are given, or `root` is a data set already; or as
            `by_pattern` and `by_table`.
    """
    named = parse_modalities(modalities)
    if not is_folder(root, DataError):
        raise DataError(f"{root}: there is no such folder of images")
    if pattern is not None and table is not None:
        raise DataError("--pattern and --csv exclude each other: one says what images are")
    if table is not None:
        return by_table(root, table, named)
    if pattern is not None:
        return by_pattern(root, parse_pattern(pattern), named)
    if is_data(root):
        raise DataError(
            f"{root}: is {open_data(root).name} data already, which every command reads as it is: "
            f"denet data {root}"
        )
    return by_guess(root, named)
