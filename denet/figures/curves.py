"""How a training went, epoch by epoch: losses, accuracy on held-out identities, learning rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import cycle
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from denet.figures.drawing import Drawing
from denet.figures.style import INK, MUTED, SERIES, new_figure, render
from denet.run import EpochReport

TERMS = (
    *("identity", "triplet", "branch", "plain", "states", "recovery", "similarity"),
    "adversary",
)
"""The losses of an `EpochReport` that `total` is made of."""

CURVES = "curves"
CAPTION = (
    "The training, epoch by epoch: the losses, before the weights that they have in the total; "
    "mAP, the mean over the missing states, where identities were held out; the learning rate at "
    "the end of an epoch."
)


def draw_curves(history: Sequence[EpochReport], branch_epochs: int = 0) -> Drawing:
    """The drawing of a run.

    Args:
        history: its epochs, at least one.
        branch_epochs: after so many the graph is trained, on branches that stand still; 0 where
            everything is trained at once.
    """
    return Drawing(CURVES, CAPTION, render(lambda: curves_figure(history, branch_epochs)))


def curves_figure(history: Sequence[EpochReport], branch_epochs: int = 0) -> Figure:
    """A panel of each kind; without held-out identities there is none of mAP."""
    at = [report.epoch for report in history]
    measured = [(r.epoch, r.map) for r in history if not math.isnan(r.map)]
    panels = 3 if measured else 2
    figure = new_figure(9.7, 3.0)
    losses = figure.add_subplot(1, panels, 1)
    total = _parted(at, [r.total for r in history], branch_epochs)
    losses.plot(*total, color=INK, linewidth=2.0, label="total", **_DOTS)
    dashes = cycle(["-"] * len(SERIES) + ["--"] * len(SERIES))
    for term, color, dash in zip(TERMS, cycle(SERIES), dashes, strict=False):
        values = [getattr(report, term) for report in history]
        if any(values):
            # A loss of nothing in an epoch was not computed in its phase.
            shown = [value if value > 0 else math.nan for value in values]
            losses.plot(at, shown, dash, color=color, linewidth=1.3, label=term, **_DOTS)
    losses.set_yscale("log")
    figure.legend(loc="outside lower center", fontsize=7, ncols=len(TERMS) + 1)
    _finish(losses, "Losses", branch_epochs, at)
    if measured:
        accuracy = figure.add_subplot(1, panels, 2)
        accuracy.plot(*zip(*measured, strict=True), color=SERIES[0], linewidth=1.6, **_DOTS)
        accuracy.set_ylim(bottom=0)
        _finish(accuracy, "mAP on held-out identities, %", branch_epochs, at)
    rate = figure.add_subplot(1, panels, panels)
    lr = _parted(at, [report.lr for report in history], branch_epochs)
    rate.plot(*lr, color=SERIES[1], linewidth=1.6, **_DOTS)
    rate.set_ylim(bottom=0)
    _finish(rate, "Learning rate", branch_epochs, at)
    return figure


_DOTS: dict[str, Any] = {"marker": "o", "markersize": 2.5}


def _parted(
    at: Sequence[int], values: Sequence[float], branch_epochs: int
) -> tuple[list[float], list[float]]:
    """A curve that begins anew with the second phase, where other losses make the total."""
    split = sum(epoch <= branch_epochs for epoch in at)
    if not 0 < split < len(at):
        return list(at), list(values)
    between = branch_epochs + 0.5
    return [*at[:split], between, *at[split:]], [*values[:split], math.nan, *values[split:]]


def _finish(axes: Axes, title: str, branch_epochs: int, at: Sequence[int]) -> None:
    axes.set_title(title)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(at[0] - 0.5, at[-1] + 0.5)
    axes.grid()
    if at[0] <= branch_epochs < at[-1]:
        axes.axvline(branch_epochs + 0.5, color=MUTED, linewidth=0.8, linestyle=":")
        axes.text(
            branch_epochs + 0.6, 1.0, "graph", transform=axes.get_xaxis_transform(),
            va="top", fontsize=7, color=MUTED,
        )  # fmt: skip
