"""What a calibration found, as one HTML page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from calibration.errors import CalibrationError
from calibration.facts import (
    chosen_for,
    delivered,
    form_bytes,
    outcome_facts,
    reasons,
    shown_forms,
    variant_bytes,
    worst_alone,
)
from calibration.figures.changes import change_figure
from calibration.figures.fleet import fleet_figure, lowest_pairing
from calibration.figures.scale import listed, short, signed
from calibration.figures.sensitivity import sensitivity_figure
from calibration.figures.times import time_figure
from calibration.judge import Effect, worst
from calibration.outcome import Outcome
from calibration.tables import effect_cells, limit_text, scale_of, worst_text
from denet.figures.drawing import Drawing
from denet.figures.style import render
from denet.graph import State, kind_of
from denet.marks import REPORT
from denet.outputs import check_output, write_output
from denet.page import templates
from runtime.bundle.forms import FORMS, Platform, variant
from runtime.machine import read_cpu

PLACES: dict[Platform, str] = {
    "vnni": "CPUs with VNNI",
    "avx2": "x86 CPUs without VNNI",
    "trt": "TensorRT",
}

CAPTIONS = {
    "changes": "Each dot is a state: what its mAP changed by, query by query against FP32. The "
    "line is the 95 % interval of a bootstrap over identities. Beyond the dashed line more is lost "
    "than the budget allows. An arrow points to what lies outside the plot.",
    "sensitivity": "One engine in one form, all others in FP32: the change of mAP, in points, in "
    "the state that loses most, of those that run the engine. Full red is the budget or more. Far "
    "inside the budget it is chance: a few queries change places.",
    "times": "Milliseconds at batch 1, each engine run alone; in brackets how many times as fast "
    "as FP32. The scales of the three kinds differ.",
    "fleet": "Devices in a variant and devices in FP32 search each other's galleries. Dots of a "
    "state in one line: it makes no difference. The number is the change, in points, of the worst "
    "of the three pairings with the variant, against FP32 alone.",
}
"""Under each plot, by its name."""

HALF = " A CPU computes fp16 in FP32: what it takes here says nothing of TensorRT."
"""Under the plot of times, where it shows fp16."""

UNLABELLED = {
    "changes": "Each dot is a state: one minus the mean cosine of its embeddings to those of FP32. "
    "Beyond the dashed line more is lost than the budget allows. An arrow points to what lies "
    "outside the plot.",
    "sensitivity": "One engine in one form, all others in FP32: one minus the mean cosine to FP32, "
    "in the state that loses most, of those that run the engine. Full red is the budget or more.",
}
"""Instead of those, where there are no labels."""


def check_report(path: Path, *, replace: bool) -> None:
    """See that a report can be written to `path`, before the work for it is done.

    Raises:
        CalibrationError: it cannot, or is there and `replace` is false.
    """
    check_output(path, REPORT, CalibrationError, replace=replace)


def write_report(outcome: Outcome, path: Path, *, replace: bool) -> None:
    """Write the page to `path`, whole or not at all.

    Raises:
        CalibrationError: it cannot be written, or is there and `replace` is false.
    """
    write_output(path, report_html(outcome).encode(), REPORT, CalibrationError, replace=replace)


def report_html(outcome: Outcome) -> str:
    """The report as one page that needs no other file and no script."""
    first = delivered(outcome)
    return (
        templates("calibration")
        .get_template("page.html.jinja")
        .render(
            facts=outcome_facts(outcome),
            scale=scale_of(outcome),
            asked=asked(outcome),
            limit=limit_text(outcome),
            delivered={name: _summary(outcome, name) for name in first},
            tables={
                name: {state: effect_cells(effect) for state, effect in outcome.whole[name].items()}
                for name in (*first, *(n for n in outcome.whole if n not in first))
            },
            effects=outcome.whole,
            losses=worst_alone(outcome),
            worst=partial(worst_text, outcome),
            chosen=chosen_for(outcome),
            reasons={p: reasons(outcome, p) for p in outcome.selections},
            forms=shown_forms(outcome),
            engines=outcome.bundle.graph.engines,
            kind_of=kind_of,
            variant=variant,
            short=short,
            plots={plot.name: plot for plot in draw_plots(outcome)},
        )
    )


def asked(outcome: Outcome) -> str:
    """What was asked for, in a sentence."""
    request, names = outcome.request, delivered(outcome)
    places = [PLACES[t] for t in PLACES for name in names if name.endswith(f"-{t}")]
    where = f" for {listed(places)}" if places else ""
    what = {
        "auto": "the fastest form of each engine",
        "int8": "all engines in INT8",
        "fp16": "all engines in FP16",
    }[request.precision]
    if outcome.samples.labelled:
        kept = f"no missing state may lose more than {outcome.budget:g} points of mAP"
    else:
        kept = (
            "the mean cosine to FP32 may fall below "
            f"{1 - outcome.budget:g} in no missing state (there are no labels to rank by)"
        )
    return f"Asked for: {what}{where}; {kept}."


def _summary(outcome: Outcome, name: str) -> dict[str, Any]:
    """A delivered variant in short: numbers for a card, and sentences."""
    forms, effects = outcome.forms[name], outcome.whole[name]
    state, loss = worst(effects)
    scale = scale_of(outcome)
    counts = [(sum(f == form for f in forms.values()), form) for form in FORMS]
    sizes = [variant_bytes(outcome, name), sum(form_bytes(outcome, e, "fp32") or 0 for e in forms)]
    return {
        "state": state.name,
        "worst": signed(-loss) if scale.labelled else f"{1 - loss:.4f}",
        "lost": scale.lost(loss) if loss > 0 else "",
        "forms": listed([f"{count} in {form}" for count, form in counts if count]),
        "megabytes": [size / 1e6 for size in sizes],
        "ms": _richest_ms(outcome, name),
        "unsure": _unsure(effects, outcome.budget),
        "emulated": name.endswith("-trt"),
        "fleet": _fleet(effects, outcome.budget) if scale.labelled else "",
    }


def _richest_ms(outcome: Outcome, name: str) -> tuple[float, float] | None:
    """The engines of the richest judged state in a variant and in FP32, in sum.

    None where not all were measured, or on a CPU for another device.
    """
    if name == "fp16" or name.endswith("-trt"):
        return None
    engines = outcome.bundle.graph.plan(outcome.samples.judged.state).engines
    forms = outcome.forms[name]
    if any(not {"fp32", forms[e]} <= set(outcome.times.get(e, {})) for e in engines):
        return None
    times = outcome.times
    return sum(times[e][forms[e]] for e in engines), sum(times[e]["fp32"] for e in engines)


def _unsure(effects: Mapping[State, Effect], budget: float) -> str:
    """The states inside the budget whose interval reaches beyond it."""
    return listed(
        [
            state.name
            for state, effect in effects.items()
            if effect.interval is not None and effect.loss() <= budget < -effect.interval[0]
        ]
    )


def _fleet(effects: Mapping[State, Effect], budget: float) -> str:
    """What is lost where a variant and FP32 search each other's galleries, in a sentence."""
    changes = {state: lowest_pairing(effect) for state, effect in effects.items()}
    state = min(changes, key=lambda s: changes[s])
    lost = -changes[state]
    if lost < 0.005:
        return "Beside devices in FP32 nothing is lost."
    over = f", more than the budget of {budget:g}" if lost > budget else ""
    return f"Beside devices in FP32 at most {lost:.2f} points are lost, in {state.name}{over}."


def draw_plots(outcome: Outcome) -> list[Drawing]:
    """The plots that the outcome allows, in the order in which a person should see them."""
    scale, labelled = scale_of(outcome), outcome.samples.labelled
    first = delivered(outcome)
    ordered = {name: outcome.whole[name] for name in (*first, *outcome.whole)}
    engines = outcome.bundle.graph.engines
    figures: dict[str, Callable[[], Figure]] = {}
    if ordered:
        figures["changes"] = lambda: change_figure(ordered, scale)
    losses = worst_alone(outcome)
    if losses:
        figures["sensitivity"] = lambda: sensitivity_figure(
            engines, losses, outcome.emitted.refused, chosen_for(outcome), scale
        )
    if outcome.times:
        figures["times"] = lambda: time_figure(engines, outcome.times, read_cpu().name)
    if labelled and first:
        figures["fleet"] = lambda: fleet_figure({n: outcome.whole[n] for n in first}, scale)
    captions = CAPTIONS if labelled else CAPTIONS | UNLABELLED
    if any("fp16" in taken for taken in outcome.times.values()):
        captions = captions | {"times": captions["times"] + HALF}
    return [Drawing(name, captions[name], render(draw)) for name, draw in figures.items()]
