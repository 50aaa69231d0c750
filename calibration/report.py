"""What a calibration found: as tables for a terminal, as plain data, and as one HTML page."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.table import Table
from rich.text import Text

from calibration.errors import CalibrationError
from calibration.judge import Effect, Effects, worst
from calibration.outcome import Outcome
from calibration.plots import (
    Scale,
    change_figure,
    fleet_figure,
    lowest_pairing,
    sensitivity_figure,
    short,
    signed,
    time_figure,
)
from calibration.samples import Chosen
from denet import __version__
from denet.figures.drawing import Drawing
from denet.figures.style import render
from denet.graph import ENGINES, State, plan
from denet.outputs import check_output, write_output
from denet.page import templates
from runtime.bundle.forms import FORMS, INT8, Form, variant
from runtime.bundle.forms import Platform as Target
from runtime.bundle.forms import cpu_platforms as cpu_targets
from runtime.machine import read_cpu

PLACES: dict[Target, str] = {
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


def outcome_facts(outcome: Outcome) -> dict[str, Any]:
    """Everything that was found, as plain data for a program."""
    request, samples = outcome.request, outcome.samples
    return {
        "version": __version__,
        "bundle": str(outcome.bundle.root),
        "request": {
            **asdict(request),
            "data": str(request.data),
            "judge": None if request.judge is None else str(request.judge),
            "table": None if request.table is None else str(request.table),
            "targets": list(request.targets),
        },
        "machine": machine_facts(),
        "samples": {
            "calibration": _chosen_facts(samples.calibration),
            "judged": _chosen_facts(samples.judged)
            | {"identities": _identities(outcome) if samples.labelled else None},
            "labelled": samples.labelled,
        },
        "budget": {
            "value": outcome.budget,
            "unit": "mAP points" if samples.labelled else "1 - mean cosine",
        },
        "default": outcome.bundle.manifest.default_precision,
        "variants": {
            name: {
                "bytes": variant_bytes(outcome, name),
                "states": {state.name: _effect_facts(e) for state, e in effects.items()},
            }
            for name, effects in outcome.whole.items()
        },
        "engines": {
            engine: {form: _form_facts(outcome, engine, form) for form in shown_forms(outcome)}
            for engine in ENGINES
        },
        "selections": {
            target: {"forms": dict(selection.forms), "reasons": reasons(outcome, target)}
            for target, selection in outcome.selections.items()
        },
        "notes": list(outcome.notes),
    }


def machine_facts() -> dict[str, Any]:
    """The processor that measured, and what INT8 it can run, the best first."""
    return {"cpu": _processor(), "cores": os.cpu_count(), "targets": list(cpu_targets())}


def _processor() -> str:
    cpu = read_cpu()
    return cpu.model or cpu.architecture


def _chosen_facts(chosen: Chosen) -> dict[str, Any]:
    return {"source": chosen.source, "samples": len(chosen.records), "state": chosen.state.name}


def _identities(outcome: Outcome) -> int:
    return len({record.identity for record in outcome.samples.judged.records})


def _effect_facts(effect: Effect) -> dict[str, Any]:
    interval = None if effect.interval is None else list(effect.interval)
    return {**asdict(effect), "interval": interval, "loss": effect.loss()}


def _form_facts(outcome: Outcome, engine: str, form: Form) -> dict[str, Any]:
    refused = outcome.emitted.refused.get((engine, form))
    if refused is not None:
        return {"refused": refused}
    facts: dict[str, Any] = {
        "ms": outcome.times.get(engine, {}).get(form),
        "bytes": form_bytes(outcome, engine, form),
    }
    found = worst_alone(outcome).get((engine, form))
    if found is not None:
        facts |= {
            "worst_state": found[0].name,
            "worst_loss": found[1],
            "least_cosine": min(e.cosine for e in outcome.alone[engine, form].values()),
        }
    return facts


def shown_forms(outcome: Outcome) -> list[Form]:
    """FP32, and every form that was made of an engine or refused."""
    known = {
        "fp32",
        *(f for _, f in outcome.emitted.models),
        *(f for _, f in outcome.emitted.refused),
    }
    return [form for form in FORMS if form in known]


def form_bytes(outcome: Outcome, engine: str, form: Form) -> int | None:
    """The size of an engine in a form; None where there is none."""
    if form == "fp32":
        return outcome.bundle.manifest.engines[engine].files["fp32"].bytes
    model = outcome.emitted.models.get((engine, form))
    return None if model is None else len(model)


def variant_bytes(outcome: Outcome, name: str) -> int:
    """The size of the engines of a variant."""
    return sum(form_bytes(outcome, e, f) or 0 for e, f in outcome.forms[name].items())


def worst_alone(outcome: Outcome) -> dict[tuple[str, Form], tuple[State, float]]:
    """Of each engine in each form alone: the state that loses most, and what it loses.

    Only states that run the engine count: the others lose nothing, which says nothing.
    """
    found = {}
    for (engine, form), effects in outcome.alone.items():
        run: Effects = {s: e for s, e in effects.items() if engine in plan(s).engines}
        if run:
            found[engine, form] = worst(run)
    return found


def delivered(outcome: Outcome) -> list[str]:
    """The variants that were asked for, of all that were judged."""
    asked = outcome.request.precision
    wanted = "mixed" if asked == "auto" else asked
    return [name for name in outcome.whole if name.partition("-")[0] == wanted]


def reasons(outcome: Outcome, target: Target) -> dict[str, str]:
    """Of each engine that is not in its most reduced form, why; in the order of engines."""
    selection = outcome.selections[target]
    found: dict[str, str] = {}
    for engine in ENGINES:
        chosen, reduced = selection.forms[engine], INT8[target]
        taken = outcome.times.get(engine, {})
        if engine in selection.reasons:
            found[engine] = selection.reasons[engine]
        elif chosen != reduced and (engine, reduced) in outcome.emitted.refused:
            found[engine] = f"{reduced} cannot be had: {outcome.emitted.refused[engine, reduced]}"
        elif chosen != reduced and chosen in taken and reduced in taken:
            found[engine] = (
                f"{reduced} is no faster here: {short(taken[reduced])} ms, and {chosen} "
                f"{short(taken[chosen])} ms"
            )
    return found


def variant_table(outcome: Outcome, name: str) -> Table:
    """One row for each state: what a variant does to it. What breaks the budget is red."""
    effects = outcome.whole[name]
    judged, scale = len(outcome.samples.judged.records), _scale(outcome)
    table = Table(
        "state",
        title=f"{name} beside FP32, {judged} samples",
        title_justify="left",
        caption_justify="left",
    )
    table.columns[0].no_wrap = True
    heads = ["cosine\nmean", "cosine\n1st pct.", "top 10\n%"]
    lines = [_limit(outcome)]
    if outcome.samples.labelled:
        heads += ["mAP %\nFP32", "mAP %\nown", "change, points\n(95 % interval)"]
        heads += ["mAP %\n→FP32", "mAP %\nFP32→"]
        lines.append("→FP32: its queries in a gallery of FP32; FP32→: the other way round")
    for head in heads:
        table.add_column(head, justify="right", no_wrap=not head.startswith("change"))
    table.caption = Text("\n".join(lines))
    for state, effect in effects.items():
        table.add_row(
            state.name,
            *_effect_cells(effect),
            style="red" if effect.loss() > scale.budget else None,
        )
    return table


def _effect_cells(effect: Effect) -> list[str]:
    """Cosines, overlap in per cent, and with labels mAP, its change, and the mixed fleet."""
    cells = [f"{effect.cosine:.5f}", f"{effect.worst:.5f}", f"{100 * effect.overlap:.1f}"]
    if effect.change is None:
        return cells
    low, high = effect.interval or (effect.change, effect.change)
    return [
        *cells,
        f"{effect.map_fp32:.2f}",
        f"{effect.map:.2f}",
        f"{signed(effect.change)} ({signed(low)}, {signed(high)})",
        f"{effect.to_fp32:.2f}",
        f"{effect.from_fp32:.2f}",
    ]


def _limit(outcome: Outcome) -> str:
    if outcome.samples.labelled:
        return f"budget: {outcome.budget:g} points of mAP in each state"
    return f"budget: a mean cosine of at least {1 - outcome.budget:g} in each state"


def engine_table(outcome: Outcome) -> Table:
    """One row for each engine: time, size and worst change in each form; what was chosen is marked.

    A cell's first line is milliseconds and megabytes, its second what the engine costs alone.
    """
    forms = shown_forms(outcome)
    table = Table("engine", title="Engines, each alone in a form", title_justify="left")
    table.columns[0].no_wrap = True
    for form in forms:
        table.add_column(f"{form}\n   ms     MB", no_wrap=True)
    losses, chosen = worst_alone(outcome), _chosen(outcome)
    for index, engine in enumerate(ENGINES):
        kind = engine.partition("_")[0]
        if index and not ENGINES[index - 1].startswith(kind):
            table.add_section()
        cells = []
        for form in forms:
            if (engine, form) in outcome.emitted.refused:
                cells.append(Text("refused", style="dim"))
                continue
            mark = chosen.get((engine, form), [])
            cell = Text(_time_and_size(outcome, engine, form), style="bold" if mark else "")
            if mark:
                cell.append(" ✓", style="green")
                if form == "fp32":  # of any other form the name says for whom
                    cell.append(f"\nfor {', '.join(mark)}", style="dim not bold")
            if (engine, form) in losses:
                state, loss = losses[engine, form]
                over = loss > outcome.budget
                cell.append(f"\n{_worst(outcome, engine, form)} ", style="red" if over else "dim")
                cell.append(state.name, style="red" if over else "dim")
            cells.append(cell)
        table.add_row(engine, *cells)
    table.add_section()
    table.add_row("all 15", *(_sums(outcome, form) for form in forms))
    what = "change of mAP, points," if outcome.samples.labelled else "mean cosine to FP32"
    lines = [f"second line: {what} in the state where it is worst"]
    if chosen:
        names = ", ".join(variant("mixed", target) for target in outcome.selections)
        lines.append(f"✓: chosen by {names}")
    table.caption, table.caption_justify = Text("\n".join(lines)), "left"
    return table


def _time_and_size(outcome: Outcome, engine: str, form: Form) -> str:
    size = form_bytes(outcome, engine, form)
    return _numbers(outcome.times.get(engine, {}).get(form), size)


def _numbers(ms: float | None, size: int | None) -> str:
    """Milliseconds and megabytes, in columns."""
    return f"{'-' if ms is None else short(ms):>5}  {'-' if size is None else short(size / 1e6):>5}"


def _worst(outcome: Outcome, engine: str, form: Form) -> str:
    """What an engine costs alone, as the tables write it: points of mAP, or the cosine left."""
    _, loss = worst_alone(outcome)[engine, form]
    return f"{signed(-loss):>5}" if outcome.samples.labelled else f"{1 - loss:.5f}"


def _sums(outcome: Outcome, form: Form) -> str:
    """Of all engines in a form; nothing where one is not known."""
    ms = [outcome.times.get(engine, {}).get(form) for engine in ENGINES]
    sizes = [form_bytes(outcome, engine, form) for engine in ENGINES]
    return _numbers(
        None if None in ms else sum(m for m in ms if m is not None),
        None if None in sizes else sum(s for s in sizes if s is not None),
    )


def _chosen(outcome: Outcome) -> dict[tuple[str, Form], list[str]]:
    """For which targets each engine is in each form."""
    found: dict[tuple[str, Form], list[str]] = {}
    for target, selection in outcome.selections.items():
        for engine, form in selection.forms.items():
            found.setdefault((engine, form), []).append(target)
    return found


def _scale(outcome: Outcome) -> Scale:
    return Scale(outcome.samples.labelled, outcome.budget)


def check_report(path: Path, *, replace: bool) -> None:
    """See that a report can be written to `path`, before the work for it is done.

    Raises:
        CalibrationError: it cannot, or is there and `replace` is false.
    """
    check_output(path, ".html", CalibrationError, replace=replace)


def write_report(outcome: Outcome, path: Path, *, replace: bool) -> None:
    """Write the page to `path`, whole or not at all.

    Raises:
        CalibrationError: it cannot be written, or is there and `replace` is false.
    """
    check_report(path, replace=replace)
    write_output(path, report_html(outcome).encode(), CalibrationError)


def report_html(outcome: Outcome) -> str:
    """The report as one page that needs no other file and no script."""
    first = delivered(outcome)
    return (
        templates("calibration")
        .get_template("report.html.jinja")
        .render(
            facts=outcome_facts(outcome),
            scale=_scale(outcome),
            asked=asked(outcome),
            limit=_limit(outcome),
            delivered={name: _summary(outcome, name) for name in first},
            tables={
                name: {
                    state: _effect_cells(effect) for state, effect in outcome.whole[name].items()
                }
                for name in (*first, *(n for n in outcome.whole if n not in first))
            },
            effects=outcome.whole,
            losses=worst_alone(outcome),
            worst=partial(_worst, outcome),
            chosen=_chosen(outcome),
            reasons={target: reasons(outcome, target) for target in outcome.selections},
            forms=shown_forms(outcome),
            engines=ENGINES,
            variant=variant,
            short=short,
            plots={plot.name: plot for plot in draw_plots(outcome)},
        )
    )


def asked(outcome: Outcome) -> str:
    """What was asked for, in a sentence."""
    request, names = outcome.request, delivered(outcome)
    places = [PLACES[t] for t in PLACES for name in names if name.endswith(f"-{t}")]
    where = f" for {_and(places)}" if places else ""
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
    scale = _scale(outcome)
    counts = [(sum(f == form for f in forms.values()), form) for form in FORMS]
    sizes = [variant_bytes(outcome, name), sum(form_bytes(outcome, e, "fp32") or 0 for e in forms)]
    return {
        "state": state.name,
        "worst": signed(-loss) if scale.labelled else f"{1 - loss:.4f}",
        "lost": scale.lost(loss) if loss > 0 else "",
        "forms": _and([f"{count} in {form}" for count, form in counts if count]),
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
    engines = plan(outcome.samples.judged.state).engines
    forms = outcome.forms[name]
    if any(not {"fp32", forms[e]} <= set(outcome.times.get(e, {})) for e in engines):
        return None
    times = outcome.times
    return sum(times[e][forms[e]] for e in engines), sum(times[e]["fp32"] for e in engines)


def _unsure(effects: Mapping[State, Effect], budget: float) -> str:
    """The states inside the budget whose interval reaches beyond it."""
    return _and(
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


def _and(words: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def draw_plots(outcome: Outcome) -> list[Drawing]:
    """The plots that the outcome allows, in the order in which a person should see them."""
    scale, labelled = _scale(outcome), outcome.samples.labelled
    first = delivered(outcome)
    ordered = {name: outcome.whole[name] for name in (*first, *outcome.whole)}
    figures: dict[str, Callable[[], Figure]] = {}
    if ordered:
        figures["changes"] = lambda: change_figure(ordered, scale)
    losses = worst_alone(outcome)
    if losses:
        figures["sensitivity"] = lambda: sensitivity_figure(
            losses, outcome.emitted.refused, _chosen(outcome), scale
        )
    if outcome.times:
        figures["times"] = lambda: time_figure(outcome.times, _processor())
    if labelled and first:
        figures["fleet"] = lambda: fleet_figure({n: outcome.whole[n] for n in first}, scale)
    captions = CAPTIONS if labelled else CAPTIONS | UNLABELLED
    if any("fp16" in taken for taken in outcome.times.values()):
        captions = captions | {"times": captions["times"] + HALF}
    return [Drawing(name, captions[name], render(draw)) for name, draw in figures.items()]
