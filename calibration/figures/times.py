"""How long each engine takes in each form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from calibration.figures.canvas import WIDTH, headline, new_figure
from calibration.figures.scale import short
from denet.figures.style import INK, SERIES, WRONG
from denet.graph import KIND_NAMES, kind_of
from runtime.bundle.forms import FORMS, Form

COLORS: dict[Form, str] = {
    "fp32": SERIES[5],
    "fp16": SERIES[1],
    "int8-vnni": SERIES[0],
    "int8-avx2": SERIES[2],
    "int8-trt": SERIES[3],
}


SLOWER = 0.95
"""Times as fast as FP32, below which a form counts as slower: less is noise."""


def time_figure(
    engines: Sequence[str], times: Mapping[str, Mapping[Form, float]], where: str
) -> Figure:
    """How long each engine takes in each form.

    Args:
        engines: all of the bundle's, in order.
        times: in milliseconds, of at least one engine, with FP32.
        where: on which processor.
    """
    by_kind = {kind: [e for e in engines if kind_of(e) == kind] for kind in KIND_NAMES}
    rows = max(map(len, by_kind.values()))
    kinds = {
        KIND_NAMES[kind]: mine
        for kind, all_of_kind in by_kind.items()
        if (mine := [e for e in all_of_kind if e in times])
    }
    forms = [form for form in FORMS if any(form in taken for taken in times.values())]
    height = 0.82 / len(forms)
    figure = new_figure(WIDTH, 1.7 + 0.9 * len(forms) * (rows / 6))
    all_axes = figure.subplots(1, len(kinds), squeeze=False)[0]
    for ax, (title, shown) in zip(all_axes, kinds.items(), strict=True):
        for number, form in enumerate(forms):
            at = [row for row, engine in enumerate(shown) if form in times[engine]]
            bars = ax.barh(
                [row + (number - (len(forms) - 1) / 2) * height for row in at],
                [times[shown[row]][form] for row in at],
                height * 0.92,
                color=COLORS[form],
                label=form,
            )
            for bar, row in zip(bars, at, strict=True):
                text, color = _time_label(times[shown[row]], form)
                ax.annotate(
                    text, (bar.get_width(), bar.get_y() + bar.get_height() / 2), xytext=(3, 0),
                    textcoords="offset points", va="center", fontsize=7.5, color=color,
                )  # fmt: skip
        ax.set_yticks(range(len(shown)), shown)
        ax.set_ylim(len(shown) - 0.5, -0.5)
        ax.set_xlim(0, 1.42 * max(max(times[engine].values()) for engine in shown))
        ax.tick_params(axis="y", length=0)
        ax.locator_params(axis="x", nbins=4)
        ax.grid(axis="x")
        ax.spines["left"].set_visible(False)
        ax.set_title(title)
        ax.set_xlabel("ms")
    handles, labels = all_axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(forms))
    headline(figure, f"{_time_verdict(times)}\non {where}")
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
