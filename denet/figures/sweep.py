"""Accuracy against a parameter (the paper's Fig. 5), as mean and spread over trainings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from matplotlib.figure import Figure

from denet.figures.style import SERIES, new_figure


@dataclass(frozen=True)
class Panel:
    """One chart.

    Attributes:
        title: of the panel.
        axis: what the parameter is, with its unit.
        at: its values, rising.
        series: name -> at each value, the accuracy in per cent of each training.
        logarithmic: whether the values are spaced by factors.
    """

    title: str
    axis: str
    at: Sequence[float]
    series: Mapping[str, Sequence[Sequence[float]]]
    logarithmic: bool


def sweep_figure(panels: Sequence[Panel]) -> Figure:
    """The panels side by side; a line through the means, bars of one standard deviation."""
    figure = new_figure(3.4 * len(panels), 3.2)
    for place, panel in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), place + 1)
        for color, (name, values) in zip(SERIES, panel.series.items(), strict=False):
            spread = [stdev(each) if len(each) > 1 else 0.0 for each in values]
            axes.errorbar(
                panel.at, [mean(each) for each in values], spread, color=color, label=name,
                marker="o", markersize=4, linewidth=1.6, capsize=2, elinewidth=0.8,
            )  # fmt: skip
        if panel.logarithmic:
            axes.set_xscale("log")
        axes.set_title(panel.title)
        axes.set_xlabel(panel.axis)
        axes.set_ylabel("%")
        axes.set_ylim(0, min(100.0, axes.get_ylim()[1] * 1.05))
        axes.grid()
        axes.legend(loc="best", fontsize=7)
    return figure
