"""Plots of what a calibration found.

They use matplotlib's objects, never `pyplot`, and look as the figures of `denet.figures`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from calibration.judge import Effect, Effects
from denet.figures.style import (  # noqa: F401  # the whole look, for whoever renders these plots
    DOTS,
    GRID,
    INK,
    MUTED,
    PIXELS_PER_INCH,
    RIGHT,
    SERIES,
    STYLE,
    WRONG,
    render,
)
from denet.graph import ENGINES, STATES, State
from runtime.bundle.forms import FORMS, Form

WIDTH = 9.8
"""Of a plot, in inches."""

COLORS: dict[Form, str] = {
    "fp32": SERIES[5],
    "fp16": SERIES[1],
    "int8-vnni": SERIES[0],
    "int8-avx2": SERIES[2],
    "int8-trt": SERIES[3],
}

KINDS = {"branch": "branches", "cmft": "CMFTs", "dem": "edges"}
"""Of engines, by how their names begin."""

SLOWER = 0.95
"""Times as fast as FP32, below which a form counts as slower: less is noise."""

SHOWN_BUDGETS = 4.0
"""How many times the budget the plot of changes shows; what is farther off is an arrow."""

PAIRINGS: tuple[tuple[Literal["map_fp32", "to_fp32", "from_fp32", "map"], str, str, str], ...] = (
    ("map_fp32", "FP32 → FP32", INK, "D"),
    ("to_fp32", "variant → FP32", SERIES[0], "o"),
    ("from_fp32", "FP32 → variant", SERIES[1], "s"),
    ("map", "variant → variant", SERIES[3], "^"),
)
"""Whose queries search whose gallery: the field of `Effect`, the label, colour and marker."""


@dataclass(frozen=True)
class Scale:
    """How a loss is drawn and written.

    Attributes:
        labelled: as a change of mAP in points, less is worse; else as one minus the mean cosine,
            more is worse.
        budget: as `Effect.loss` counts.
    """

    labelled: bool
    budget: float

    @property
    def limit(self) -> str:
        """The budget in a sentence, with its unit."""
        if self.labelled:
            return f"{self.budget:g} points of mAP"
        return f"a mean cosine of {1 - self.budget:g}"

    def place(self, loss: float) -> float:
        """A loss as it is drawn."""
        return -loss if self.labelled else loss

    def number(self, loss: float) -> str:
        """A loss as it is written beside what is drawn."""
        return signed(-loss) if self.labelled else f"{max(loss, 0):.5f}"

    def lost(self, loss: float) -> str:
        """A loss in a sentence, with its unit."""
        return f"{loss:.2f} points of mAP" if self.labelled else f"{loss:.5f} of the mean cosine"


def signed(value: float, digits: int = 2) -> str:
    """A change with its sign; none for what rounds to zero."""
    rounded = round(value, digits)
    return f"{rounded:+.{digits}f}" if rounded else f"{0:.{digits}f}"


def short(value: float) -> str:
    """A number above zero in three digits or so: 0.019, 1.76, 17.6, 176."""
    digits = next((n for n, least in enumerate((100, 10, 1)) if value >= least), 3)
    return f"{value:.{digits}f}"


def change_figure(variants: Mapping[str, Effects], scale: Scale) -> Figure:
    """What each variant does to each state, beside the budget.

    Args:
        variants: their effects, at least one variant.
        scale: of the changes.
    """
    columns = min(3, len(variants))
    rows = -(-len(variants) // columns)
    states = list(next(iter(variants.values())))
    figure = _new_figure(WIDTH, 0.9 + rows * (0.75 + 0.24 * len(states)))
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
    _headline(
        figure,
        f"Outside the budget of {scale.limit}: {_listed(outside)}"
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


def sensitivity_figure(
    losses: Mapping[tuple[str, Form], tuple[State, float]],
    refused: Iterable[tuple[str, Form]],
    chosen: Iterable[tuple[str, Form]],
    scale: Scale,
) -> Figure:
    """What each engine costs in each form where all others are in FP32.

    Args:
        losses: the state that loses most, and what it loses; of at least one engine and form.
        refused: what there is not.
        chosen: what is marked.
        scale: of the losses.
    """
    lacking, marked = set(refused), set(chosen)
    forms = [form for form in FORMS if any(f == form for _, f in (*losses, *lacking))]
    figure = _new_figure(min(max(2.9 + 1.75 * len(forms), 6.8), WIDTH), 5.6)
    ax = figure.add_subplot()
    colors = LinearSegmentedColormap.from_list("loss", ["#ffffff", "#f3b3a8", WRONG])
    top = scale.budget or max((loss for _, loss in losses.values()), default=0.0) or 1.0
    norm = Normalize(0, top, clip=True)
    for row, engine in enumerate(ENGINES):
        for column, form in enumerate(forms):
            cell = engine, form
            known = losses.get(cell)
            ax.add_patch(
                Rectangle(
                    (column, row), 1, 1,
                    facecolor=GRID if known is None else colors(norm(known[1])),
                    edgecolor="white" if known is None else GRID,
                    linewidth=1,
                )
            )  # fmt: skip
            if known is None:
                text = "refused" if cell in lacking else "-"
                ax.text(column + 0.5, row + 0.5, text, ha="center", va="center", color=MUTED)
                continue
            ink = "white" if norm(known[1]) > 0.75 else INK
            ax.text(
                column + 0.33, row + 0.52, scale.number(known[1]), ha="right", va="center",
                color=ink, fontweight="bold",
            )  # fmt: skip
            ax.text(
                column + 0.38, row + 0.52, known[0].name, ha="left", va="center", color=ink,
                fontsize=7.5,
            )  # fmt: skip
            if cell in marked:
                ax.text(column + 0.95, row + 0.52, "✓", ha="right", va="center", color=ink)
    ax.set_xlim(0, len(forms))
    ax.set_ylim(len(ENGINES), 0)
    ax.set_yticks([row + 0.5 for row in range(len(ENGINES))], ENGINES)
    ax.set_xticks([column + 0.5 for column in range(len(forms))], forms)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    for row in range(1, len(ENGINES)):
        if ENGINES[row].partition("_")[0] != ENGINES[row - 1].partition("_")[0]:
            ax.axhline(row, color=MUTED, linewidth=1)
    what = "change of mAP, points" if scale.labelled else "1 - mean cosine to FP32"
    ax.set_xlabel(
        f"{what}, in the state that loses most\nfull red: {scale.place(top):.3g} and worse"
        + ("; ✓ is chosen" if marked else ""),
        labelpad=8,
    )
    (engine, form), (state, loss) = max(losses.items(), key=lambda item: item[1][1])
    _headline(
        figure,
        f"{engine} in {form} is the most sensitive:\nalone it costs {state.name} {scale.lost(loss)}"
        + (", more than the budget" if loss > scale.budget else "")
        if loss > 0
        else "No engine alone costs any state anything",
    )
    return figure


def time_figure(times: Mapping[str, Mapping[Form, float]], where: str) -> Figure:
    """How long each engine takes in each form.

    Args:
        times: in milliseconds, of at least one engine, with FP32.
        where: on which processor.
    """
    kinds = {
        title: mine
        for kind, title in KINDS.items()
        if (mine := [e for e in ENGINES if e in times and e.startswith(kind)])
    }
    forms = [form for form in FORMS if any(form in taken for taken in times.values())]
    height = 0.82 / len(forms)
    figure = _new_figure(WIDTH, 1.7 + 0.9 * len(forms))
    all_axes = figure.subplots(1, len(kinds), squeeze=False)[0]
    for ax, (title, engines) in zip(all_axes, kinds.items(), strict=True):
        for number, form in enumerate(forms):
            rows = [row for row, engine in enumerate(engines) if form in times[engine]]
            bars = ax.barh(
                [row + (number - (len(forms) - 1) / 2) * height for row in rows],
                [times[engines[row]][form] for row in rows],
                height * 0.92,
                color=COLORS[form],
                label=form,
            )
            for bar, row in zip(bars, rows, strict=True):
                text, color = _time_label(times[engines[row]], form)
                ax.annotate(
                    text, (bar.get_width(), bar.get_y() + bar.get_height() / 2), xytext=(3, 0),
                    textcoords="offset points", va="center", fontsize=7.5, color=color,
                )  # fmt: skip
        ax.set_yticks(range(len(engines)), engines)
        ax.set_ylim(len(engines) - 0.5, -0.5)
        ax.set_xlim(0, 1.42 * max(max(times[engine].values()) for engine in engines))
        ax.tick_params(axis="y", length=0)
        ax.locator_params(axis="x", nbins=4)
        ax.grid(axis="x")
        ax.spines["left"].set_visible(False)
        ax.set_title(title)
        ax.set_xlabel("ms")
    handles, labels = all_axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(forms))
    _headline(figure, f"{_time_verdict(times)}\non {where}")
    return figure


def _time_label(taken: Mapping[Form, float], form: Form) -> tuple[str, str]:
    """Milliseconds and how many times as fast as FP32, and a colour: red is slower."""
    if form == "fp32":
        return short(taken[form]), INK
    ratio = taken["fp32"] / taken[form]
    return f"{short(taken[form])} ({ratio:.1f}x)", WRONG if ratio < SLOWER else INK


def _time_verdict(times: Mapping[str, Mapping[Form, float]]) -> str:
    """The form that gains most, over the engines that have it."""
    sums: dict[Form, tuple[float, float, int]] = {}
    for form in FORMS:
        having = [taken for taken in times.values() if form in taken]
        if having:
            real = sum(taken["fp32"] for taken in having)
            sums[form] = real, sum(taken[form] for taken in having), len(having)
    reduced = [form for form in sums if form != "fp32"]
    if not reduced:
        return f"In FP32 the engines take {short(sums['fp32'][0])} ms"
    form = max(reduced, key=lambda f: sums[f][0] / sums[f][1])
    before, after, count = sums[form]
    ratio = before / after
    verdict = f"{ratio:.1f} times as fast" if ratio >= 1 else f"slower, {ratio:.1f} times as fast"
    return (
        f"{form} is {verdict}: {count} of {len(times)} engines take {short(after)} ms instead of "
        f"{short(before)}"
    )


def fleet_figure(variants: Mapping[str, Effects], scale: Scale) -> Figure:
    """mAP where devices in a variant and devices in FP32 search each other's galleries.

    Args:
        variants: their labelled effects, at least one variant.
        scale: of the changes.
    """
    states = [s for s in STATES if s in next(iter(variants.values()))]
    figure = _new_figure(WIDTH, 1.4 + 0.42 * len(states))
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
    _headline(
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


def _new_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches, whose parts are laid out without overlap."""
    figure = Figure(figsize=(width, height), facecolor="white")
    figure.set_layout_engine("constrained", h_pad=0.06)
    return figure


def _headline(figure: Figure, text: str) -> None:
    figure.suptitle(text, x=0.01, ha="left", fontsize=11, fontweight="bold")


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
