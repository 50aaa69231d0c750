"""mAP where devices in a variant and devices in FP32 search each other's galleries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from matplotlib.figure import Figure

from calibration.figures.canvas import WIDTH, headline, new_figure
from calibration.figures.scale import Scale, signed
from calibration.judge import Effect, Effects
from denet.figures.style import GRID, INK, MUTED, RIGHT, SERIES, WRONG

PAIRINGS: tuple[tuple[Literal["map_fp32", "to_fp32", "from_fp32", "map"], str, str, str], ...] = (
    ("map_fp32", "FP32 → FP32", INK, "D"),
    ("to_fp32", "variant → FP32", SERIES[0], "o"),
    ("from_fp32", "FP32 → variant", SERIES[1], "s"),
    ("map", "variant → variant", SERIES[3], "^"),
)
"""Whose queries search whose gallery: the field of `Effect`, the label, colour and marker."""


def fleet_figure(variants: Mapping[str, Effects], scale: Scale) -> Figure:
    """mAP where devices in a variant and devices in FP32 search each other's galleries.

    Args:
        variants: their labelled effects, at least one variant.
        scale: of the changes.
    """
    states = list(next(iter(variants.values())))
    figure = new_figure(WIDTH, 1.4 + 0.42 * len(states))
    all_axes = figure.subplots(1, len(variants), squeeze=False, sharey=True, sharex=True)[0]
    for ax, (name, effects) in zip(all_axes, variants.items(), strict=True):
        for row in range(0, len(states), 2):
            ax.axhspan(row - 0.5, row + 0.5, color=GRID, alpha=0.45, linewidth=0)
        for number, (field, label, color, marker) in enumerate(PAIRINGS):
            ax.plot(
                [getattr(effects[state], field) for state in states],
                [row + 0.19 * (number - 1.5) for row in range(len(states))],
                linestyle="none", marker=marker, markersize=5, color=color, label=label,
                markeredgecolor="white", markeredgewidth=0.5,
            )  # fmt: skip
        for row, state in enumerate(states):
            change = lowest_pairing(effects[state])
            ax.text(
                1.01, row, signed(change), transform=ax.get_yaxis_transform(), va="center",
                fontsize=8, color=WRONG if -change > scale.budget else RIGHT,
            )  # fmt: skip
        ax.text(1.01, 1.0, "worst", transform=ax.transAxes, va="bottom", fontsize=8, color=MUTED)
        ax.set_title(name)
        ax.set_xlabel("mAP, %")
        ax.grid(axis="x")
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
    all_axes[0].set_yticks(range(len(states)), [state.name for state in states])
    all_axes[0].set_ylim(len(states) - 0.5, -0.5)
    handles, labels = all_axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=len(PAIRINGS),
        title="query → gallery",
    )  # fmt: skip
    worst = {(n, s): lowest_pairing(e) for n, of in variants.items() for s, e in of.items()}
    name, state = min(worst, key=lambda key: worst[key])
    lost = -worst[name, state]
    headline(
        figure,
        "A mixed fleet finds all that FP32 finds"
        if lost < 0.005
        else f"A mixed fleet loses at most {lost:.2f} points of mAP: {name} in {state.name}"
        + (f", more than the budget of {scale.budget:g}" if lost > scale.budget else ""),
    )
    return figure


def lowest_pairing(effect: Effect) -> float:
    """The change of mAP, in points, of the worst of the pairings of a labelled state."""
    real = effect.map_fp32 or 0.0
    others = (effect.to_fp32, effect.from_fp32, effect.map)
    return min(value - real for value in others if value is not None)
