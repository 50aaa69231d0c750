"""Charts of retrieval accuracy: by missing state, and by missing rate (the paper's Fig. 5d)."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from denet.figures.style import INK, MUTED, SERIES, new_figure
from denet.graph import Graph, State
from denet.metrics import Ranking

GROUP_GAP = 0.6
BARS = 0.8
"""Width that the bars of one state share, where the distance of two states is 1."""


def state_bars(graph: Graph, models: Mapping[str, Mapping[State, Ranking]]) -> Figure:
    """mAP in each missing state, a colour for each model.

    Args:
        graph: whose states they are.
        models: name -> ranking in every state that was measured, at least one.
    """
    states = [s for s in graph.states if all(s in rankings for rankings in models.values())]
    figure = new_figure(max(6.0 * len(states) / 7, 3.7), 3.2)
    axes = figure.add_subplot()
    place = {state: i + GROUP_GAP * len(graph.missing(state)) for i, state in enumerate(states)}
    width = BARS / len(models)
    for number, (name, rankings) in enumerate(models.items()):
        offset = (number - (len(models) - 1) / 2) * width
        bars = axes.bar(
            [place[state] + offset for state in states],
            [rankings[state].map for state in states],
            width * 0.94,
            color=SERIES[number % len(SERIES)],
            label=name,
        )
        if len(models) < 3:  # more of them leave no room for numbers
            axes.bar_label(bars, fmt="%.1f", padding=2, fontsize=8, color=INK)
    axes.set_xticks(list(place.values()), [state.name for state in states])
    axes.tick_params(axis="x", length=0)
    for kind, group in graph.groups.items():
        mine = [place[state] for state in group if state in place]
        if not mine:
            continue
        axes.text(
            (mine[0] + mine[-1]) / 2, -0.14, kind, transform=axes.get_xaxis_transform(),
            ha="center", va="top", color=MUTED,
        )  # fmt: skip
    axes.set_title("mAP in each missing state")
    axes.set_ylabel("mAP, %")
    axes.grid(axis="y")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.02, y=0.12)
    if len(models) > 1:
        figure.legend(loc="outside lower center", ncols=3)
    return figure


def rate_curve(rankings: Mapping[float, Ranking]) -> Figure:
    """mAP and R1 against the share of samples that lost some modalities.

    Args:
        rankings: missing rate from 0 to 1 -> ranking, at least one.
    """
    figure = new_figure(3.7, 3.2)
    axes = figure.add_subplot()
    rates = sorted(rankings)
    at = [100 * rate for rate in rates]
    for color, name, values in (
        (SERIES[0], "mAP", [rankings[rate].map for rate in rates]),
        (SERIES[1], "R1", [rankings[rate].cmc(1) for rate in rates]),
    ):
        axes.plot(at, values, marker="o", markersize=4, linewidth=1.8, color=color)
        axes.annotate(
            name, (at[-1], values[-1]), xytext=(8, 0), textcoords="offset points", color=color,
            va="center", fontweight="bold",
        )  # fmt: skip
    axes.set_title("Accuracy at a missing rate")
    axes.set_xlabel("samples that lost modalities, %")
    axes.set_ylabel("mAP and R1, %")
    axes.set_ylim(0, min(100, axes.get_ylim()[1] * 1.08))
    axes.margins(x=0.04)
    axes.grid()
    return figure
