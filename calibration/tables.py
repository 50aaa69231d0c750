"""What a calibration found, as tables for a terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from calibration.facts import chosen_for, form_bytes, shown_forms, worst_alone
from calibration.figures.scale import Scale, short, signed
from calibration.judge import Effect
from calibration.outcome import Outcome
from denet.graph import kind_of
from runtime.bundle.forms import Form, variant


def variant_table(outcome: Outcome, name: str) -> Table:
    """One row for each state: what a variant does to it. What breaks the budget is red."""
    effects = outcome.whole[name]
    judged, scale = len(outcome.samples.judged.records), scale_of(outcome)
    table = Table(
        "state",
        title=f"{name} beside FP32, {judged} samples",
        title_justify="left",
        caption_justify="left",
    )
    table.columns[0].no_wrap = True
    heads = ["cosine\nmean", "cosine\n1st pct.", "top 10\n%"]
    lines = [limit_text(outcome)]
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
            *effect_cells(effect),
            style="red" if effect.loss() > scale.budget else None,
        )
    return table


def effect_cells(effect: Effect) -> list[str]:
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


def limit_text(outcome: Outcome) -> str:
    """The budget, in words."""
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
    losses, chosen = worst_alone(outcome), chosen_for(outcome)
    engines = outcome.bundle.graph.engines
    for before, engine in zip((None, *engines), engines, strict=False):
        if before is not None and kind_of(before) != kind_of(engine):
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
                cell.append(
                    f"\n{worst_text(outcome, engine, form)} ", style="red" if over else "dim"
                )
                cell.append(state.name, style="red" if over else "dim")
            cells.append(cell)
        table.add_row(engine, *cells)
    table.add_section()
    table.add_row(f"all {len(engines)}", *(_sums(outcome, form) for form in forms))
    what = "change of mAP, points," if outcome.samples.labelled else "mean cosine to FP32"
    lines = [f"second line: {what} in the state where it is worst"]
    if chosen:
        names = ", ".join(variant("mixed", platform) for platform in outcome.selections)
        lines.append(f"✓: chosen by {names}")
    table.caption, table.caption_justify = Text("\n".join(lines)), "left"
    return table


def _time_and_size(outcome: Outcome, engine: str, form: Form) -> str:
    size = form_bytes(outcome, engine, form)
    return _numbers(outcome.times.get(engine, {}).get(form), size)


def _numbers(ms: float | None, size: int | None) -> str:
    """Milliseconds and megabytes, in columns."""
    return f"{'-' if ms is None else short(ms):>5}  {'-' if size is None else short(size / 1e6):>5}"


def worst_text(outcome: Outcome, engine: str, form: Form) -> str:
    """What an engine costs alone, as the tables write it: points of mAP, or the cosine left."""
    _, loss = worst_alone(outcome)[engine, form]
    return f"{signed(-loss):>5}" if outcome.samples.labelled else f"{1 - loss:.5f}"


def _sums(outcome: Outcome, form: Form) -> str:
    """Of all engines in a form; nothing where one is not known."""
    engines = outcome.bundle.graph.engines
    ms = [outcome.times.get(engine, {}).get(form) for engine in engines]
    sizes = [form_bytes(outcome, engine, form) for engine in engines]
    return _numbers(
        None if None in ms else sum(m for m in ms if m is not None),
        None if None in sizes else sum(s for s in sizes if s is not None),
    )


def scale_of(outcome: Outcome) -> Scale:
    """How its losses are written."""
    return Scale(outcome.samples.labelled, outcome.budget)
