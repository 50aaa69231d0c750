"""Figures of an evaluation: what a person looks at, as PNG.

Each module draws one kind of figure; `album` draws all that a model and a data set allow. They
use matplotlib's objects, never `pyplot`: nothing global is left changed, and equal input gives
equal bytes with equal versions of the libraries.

The names below are loaded when they are first used: drawing needs torch, the style does not, and a
calibration draws in the same one.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from denet.figures.album import NEED_CHECKPOINT, NOT_OF_A_BUNDLE, draw_figures
    from denet.figures.drawing import Drawing
    from denet.figures.files import FigureError, check_folder, write_figures

__all__ = [
    "NEED_CHECKPOINT",
    "NOT_OF_A_BUNDLE",
    "Drawing",
    "FigureError",
    "check_folder",
    "draw_figures",
    "write_figures",
]

_HOME = {
    "NEED_CHECKPOINT": "album",
    "NOT_OF_A_BUNDLE": "album",
    "Drawing": "drawing",
    "FigureError": "files",
    "check_folder": "files",
    "draw_figures": "album",
    "write_figures": "files",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"denet.figures.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
