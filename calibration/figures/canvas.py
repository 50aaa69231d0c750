"""What the figures have in common. They use matplotlib's objects, never `pyplot`."""

from __future__ import annotations

from matplotlib.figure import Figure

WIDTH = 9.8
"""Of a plot, in inches."""


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches, whose parts are laid out without overlap."""
    figure = Figure(figsize=(width, height), facecolor="white")
    figure.set_layout_engine("constrained", h_pad=0.06)
    return figure


def headline(figure: Figure, text: str) -> None:
    """What a figure shows, in a sentence above it."""
    figure.suptitle(text, x=0.01, ha="left", fontsize=11, fontweight="bold")
