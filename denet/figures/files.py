"""The folder that figures are written to."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from denet.errors import DenetError
from denet.figures.drawing import Drawing
from denet.files import written_whole


class FigureError(DenetError):
    """Figures that cannot be written; the message names the folder or file."""


def check_folder(folder: Path, *, replace: bool) -> None:
    """See that figures may be written to `folder`, before the work for them is done.

    Raises:
        FigureError: it is a file, holds something and `replace` is false, or cannot be made.
    """
    if folder.exists() and not folder.is_dir():
        raise FigureError(f"{folder}: is a file: figures need a folder")
    if folder.is_dir() and not replace and any(folder.iterdir()):
        raise FigureError(f"{folder}: is not empty: choose another folder, or use --force")
    if not folder.absolute().parent.is_dir():
        raise FigureError(f"{folder}: is in a folder that does not exist")


def write_figures(folder: Path, drawings: Iterable[Drawing]) -> list[Path]:
    """Write each drawing as `NAME.png`, each whole or not at all; the paths, in order.

    Raises:
        FigureError: one cannot be written.
    """
    paths: list[Path] = []
    try:
        folder.mkdir(exist_ok=True)
        for drawing in drawings:
            path = folder / f"{drawing.name}.png"
            with written_whole(path) as temporary:
                temporary.write_bytes(drawing.png)
            paths.append(path)
    except OSError as error:
        raise FigureError(f"{folder}: cannot be written: {error.strerror or error}") from None
    return paths
