"""The folder that figures are written to."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from denet.errors import DenetError
from denet.figures.drawing import Drawing
from denet.marks import OutputKind, is_picture
from denet.outputs import check_kept, check_parent, check_room, write_output, writing

FIGURE = OutputKind(".png", "a figure is", "a figure of denet", is_picture)


class FigureError(DenetError):
    """Figures that cannot be written; the message names the folder or file."""


def check_folder(folder: Path, names: Iterable[str], *, replace: bool) -> None:
    """See that figures may be written to `folder`, before the work for them is done.

    Args:
        folder: where to.
        names: of the figures that there may be.
        replace: figures that are there. Other files stay in any case.

    Raises:
        FigureError: it is a file, holds something and `replace` is false, has something else under
            the name of a figure, or cannot be made or written to.
    """
    with writing(folder, FigureError):
        if folder.exists() and not folder.is_dir():
            raise FigureError(f"{folder}: is a file: figures need a folder")
        if folder.is_dir() and not replace and any(folder.iterdir()):
            raise FigureError(f"{folder}: is not empty: choose another folder, or use --force")
        check_parent(folder, FigureError)
        for name in names:
            check_kept(folder / f"{name}.png", FIGURE, FigureError, replace=replace)
    check_room(folder, FigureError)


def write_figures(folder: Path, drawings: Iterable[Drawing]) -> list[Path]:
    """Write each drawing as `NAME.png`, each whole or not at all; the paths, in order.

    Raises:
        FigureError: one cannot be written.
    """
    paths: list[Path] = []
    with writing(folder, FigureError):
        folder.mkdir(exist_ok=True)
    for drawing in drawings:
        path = folder / f"{drawing.name}.png"
        write_output(path, drawing.png, FIGURE, FigureError)
        paths.append(path)
    return paths
