"""What each engine costs in each form where all others are in FP32."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from calibration.figures.canvas import WIDTH, headline, new_figure
from calibration.figures.scale import Scale
from denet.figures.style import GRID, INK, MUTED, WRONG
from denet.graph import State, kind_of
from runtime.bundle.forms import FORMS, Form


def sensitivity_figure(
    engines: Sequence[str],
    losses: Mapping[tuple[str, Form], tuple[State, float]],
    refused: Iterable[tuple[str, Form]],
    chosen: Iterable[tuple[str, Form]],
    scale: Scale,
) -> Figure:
    """What each engine costs in each form where all others are in FP32.

    Args:
        engines: a row for each.
        losses: the state that loses most, and what it loses; of at least one engine and form.
        refused: what there is not.
        chosen: what is marked.
        scale: of the losses.
    """
    lacking, marked = set(refused), set(chosen)
    forms = [form for form in FORMS if any(f == form for _, f in (*losses, *lacking))]
    figure = new_figure(min(max(2.9 + 1.75 * len(forms), 6.8), WIDTH), 1.1 + 0.3 * len(engines))
    ax = figure.add_subplot()
    colors = LinearSegmentedColormap.from_list("loss", ["#ffffff", "#f3b3a8", WRONG])
    top = scale.budget or max((loss for _, loss in losses.values()), default=0.0) or 1.0
    norm = Normalize(0, top, clip=True)
    for row, engine in enumerate(engines):
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
    ax.set_ylim(len(engines), 0)
    ax.set_yticks([row + 0.5 for row in range(len(engines))], engines)
    ax.set_xticks([column + 0.5 for column in range(len(forms))], forms)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    for row in range(1, len(engines)):
        if kind_of(engines[row]) != kind_of(engines[row - 1]):
            ax.axhline(row, color=MUTED, linewidth=1)
    what = "change of mAP, points" if scale.labelled else "1 - mean cosine to FP32"
    ax.set_xlabel(
        f"{what}, in the state that loses most\nfull red: {scale.place(top):.3g} and worse"
        + ("; ✓ is chosen" if marked else ""),
        labelpad=8,
    )
    (engine, form), (state, loss) = max(losses.items(), key=lambda item: item[1][1])
    headline(
        figure,
        f"{engine} in {form} is the most sensitive:\nalone it costs {state.name} {scale.lost(loss)}"
        + (", more than the budget" if loss > scale.budget else "")
        if loss > 0
        else "No engine alone costs any state anything",
    )
    return figure
