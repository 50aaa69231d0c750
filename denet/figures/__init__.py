"""Figures of an evaluation: what a person looks at, as PNG.

Each module draws one kind of figure; `album` draws all that a model and a data set allow. They
use matplotlib's objects, never `pyplot`: nothing global is left changed, and equal input gives
equal bytes with equal versions of the libraries.
"""

from __future__ import annotations

from denet.figures.album import NEED_CHECKPOINT, NOT_OF_A_BUNDLE, Drawing, draw_figures
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
