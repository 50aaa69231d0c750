"""Figures of an evaluation: what a person looks at, as PNG.

Each module draws one kind of figure; `album` draws all that a model and a data set allow. They
use matplotlib's objects, never `pyplot`: nothing global is left changed, and equal input gives
equal bytes with equal versions of the libraries.

The names below are loaded when they are first used: drawing needs torch, the style does not, and a
calibration draws in the same one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from denet.lazy import lazy

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

__getattr__ = lazy(
    __name__,
    {
        "NEED_CHECKPOINT": "denet.figures.album",
        "NOT_OF_A_BUNDLE": "denet.figures.album",
        "Drawing": "denet.figures.drawing",
        "FigureError": "denet.figures.files",
        "check_folder": "denet.figures.files",
        "draw_figures": "denet.figures.album",
        "write_figures": "denet.figures.files",
    },
)
