"""How every figure looks, and how it becomes a PNG."""

from __future__ import annotations

import io
from collections.abc import Callable

from matplotlib import style
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from denet.marks import SOFTWARE

INK = "#1f2933"
MUTED = "#66727f"
GRID = "#e4e8ec"
RIGHT = "#12924a"
WRONG = "#d62f2f"

SERIES = ("#1f5fa8", "#e08a1e", "#3f9c7a", "#a8477f", "#7a6fc4", "#8a8f98")
"""Colours of series, in order; they differ in lightness too."""

PIXELS_PER_INCH = 100
"""Pixels of a page, for an inch of a figure."""

DOTS = 2
"""Dots of the PNG in each direction of such a pixel: screens have more of them, too."""

STYLE = {
    "font.size": 9.0,
    "font.family": "DejaVu Sans",  # it comes with matplotlib, so every machine has it
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
}


def render(draw: Callable[[], Figure]) -> bytes:
    """The PNG of what `draw` makes, in the style of this module whatever a user's own is."""
    with style.context(["default", STYLE]):
        drawn = io.BytesIO()
        dots = DOTS * PIXELS_PER_INCH
        draw().savefig(drawn, format="png", dpi=dots, pil_kwargs={"compress_level": 0})
    # Once more by Pillow: without an alpha channel, and without matplotlib's version inside.
    file, made = io.BytesIO(), PngInfo()
    made.add_text(*SOFTWARE)
    Image.open(drawn).convert("RGB").save(file, format="png", pnginfo=made)
    return file.getvalue()


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches, whose parts are laid out without overlap."""
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")
