"""What each variant does to each state, beside the budget."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from calibration.figures.canvas import WIDTH, headline, new_figure
from calibration.figures.scale import Scale, listed
from calibration.judge import Effects
from denet.figures.style import MUTED, RIGHT, WRONG

SHOWN_BUDGETS = 4.0
"""How many times the budget the plot of changes shows; what is farther off is an arrow."""


def change_figure(variants: Mapping[str, Effects], scale: Scale) -> Figure:
    """What each variant does to each state, beside the budget.

    Args:
        variants: their effects, at least one variant.
        scale: of the changes.
    """
    columns = min(3, len(variants))
    rows = -(-len(variants) // columns)
    states = list(next(iter(variants.values())))
    figure = new_figure(WIDTH, 0.9 + rows * (0.75 + 0.24 * len(states)))
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    low, high = _shown(variants, scale)
    over = {
        name: sum(effect.loss() > scale.budget for effect in effects.values())
        for name, effects in variants.items()
    }
    for index, (name, effects) in enumerate(variants.items()):
        ax = axes[index // columns][index % columns]
        _changes(ax, effects, scale, low, high)
        bad = over[name]
        ax.set_title(f"{name}: {f'{bad} over the budget' if bad else 'all inside'}")
        if index + columns >= len(variants):
            ax.tick_params(labelbottom=True)
    for index in range(len(variants), rows * columns):
        axes[index // columns][index % columns].set_visible(False)
    for ax in axes[:, 0]:
        ax.set_yticks(range(len(states)), [state.name for state in states])
        ax.set_ylim(len(states) - 0.5, -0.5)
    figure.supxlabel(
        "change of mAP, points, with its 95 % interval; dashed: the budget"
        if scale.labelled
        else "1 - mean cosine to FP32; dashed: the budget",
        fontsize=9,
    )
    outside = [name for name, count in over.items() if count]
    headline(
        figure,
        f"Outside the budget of {scale.limit}: {listed(outside)}"
        if outside
        else f"Every state is inside the budget of {scale.limit}",
    )
    return figure


def _shown(variants: Mapping[str, Effects], scale: Scale) -> tuple[float, float]:
    """The ends of the axis of changes: the budget, and what is not far beyond it."""
    every = [effect for effects in variants.values() for effect in effects.values()]
    places = [scale.place(effect.loss()) for effect in every]
    places += [end for effect in every for end in effect.interval or ()]
    limit = scale.place(scale.budget)
    far = SHOWN_BUDGETS * abs(limit) or float("inf")
    low = max(min([*places, limit, 0.0]), -far)
    high = min(max([*places, limit, 0.0]), far)
    margin = 0.08 * (high - low) or 1.0
    return (low - margin if scale.labelled else 0.0), high + margin


def _changes(ax: Axes, effects: Effects, scale: Scale, low: float, high: float) -> None:
    limit = scale.place(scale.budget)
    outside = (low, limit) if scale.labelled else (limit, high)
    ax.axvspan(*outside, color=WRONG, alpha=0.07, linewidth=0)
    ax.axvline(limit, color=WRONG, linewidth=1.2, linestyle=(0, (4, 2)))
    ax.axvline(0, color=MUTED, linewidth=0.9)
    for row, effect in enumerate(effects.values()):
        color = WRONG if effect.loss() > scale.budget else RIGHT
        at = scale.place(effect.loss())
        if effect.interval is not None:
            ax.plot(effect.interval, (row, row), color=color, linewidth=1.6, alpha=0.55)
        marker = "<" if at < low else ">" if at > high else "o"
        inside = min(max(at, low + 0.015 * (high - low)), high - 0.015 * (high - low))
        ax.plot(inside, row, marker=marker, markersize=5.5, color=color, clip_on=False)
        ax.text(
            1.02, row, scale.number(effect.loss()), transform=ax.get_yaxis_transform(),
            va="center", fontsize=8, color=color,
        )  # fmt: skip
    ax.set_xlim(low, high)
    ax.locator_params(axis="x", nbins=5)
    ax.grid(axis="x")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
