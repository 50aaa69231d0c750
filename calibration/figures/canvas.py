"""What the figures have in common. They use matplotlib's objects, never `pyplot`."""

from __future__ import annotations

from matplotlib.figure import Figure

from denet.figures import style

WIDTH = 9.8
"""Of a plot, in inches."""


def new_figure(width: float, height: float) -> Figure:
    """As `denet.figures.style.new_figure`, with more air between what is above each other."""
    figure = style.new_figure(width, height)
    figure.set_layout_engine("constrained", h_pad=0.06)
    return figure


def headline(figure: Figure, text: str) -> None:
    """What a figure shows, in a sentence above it."""
    figure.suptitle(text, x=0.01, ha="left", fontsize=11, fontweight="bold")
