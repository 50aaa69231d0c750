"""The tables of a profile, in 80 columns; longer names are whole in the JSON."""

from __future__ import annotations

from collections import defaultdict

from denet.graph import KIND_NAMES
from runtime.benchmark.sheet import Sheet, percent, short
from runtime.benchmark.tables import by_kind
from runtime.profile.result import ErrorReport, LayerCost, ProfileReport

LAYER_WIDTH = 30
OPERATOR_WIDTH = 17

OPERATORS = 8
"""Rows of the table of operators."""


def sheets(report: ProfileReport, rows: int) -> list[Sheet]:
    """All tables, in the order in which a person should see them.

    Args:
        report: of a profile.
        rows: layers that are shown.
    """
    found = [states_sheet(report), operators_sheet(report), layers_sheet(report, rows)]
    if report.errors is not None:
        found += [errors_sheet(report.errors), layer_errors_sheet(report.errors, rows)]
    return found


def states_sheet(report: ProfileReport) -> Sheet:
    """Where the time of each state goes."""
    rows = []
    for state, found in report.states.items():
        parts = found.breakdown
        kinds = by_kind(parts)
        moved = parts.upload + parts.copy + parts.download
        cells = [*(kinds[kind] for kind in KIND_NAMES), moved, parts.outside, parts.total]
        rows.append([state, *map(short, cells)])
    heads = ["state", *KIND_NAMES.values(), "moved", "outside", "total"]
    note = "as it runs; moved: uploads, copies, downloads; outside: in which no engine runs"
    return Sheet(f"{_what(report)}: where the time of a state goes, ms", heads, rows, note)


def operators_sheet(report: ProfileReport) -> Sheet:
    """What each kind of layer takes, in the first state."""
    state = next(iter(report.states))
    times: dict[str, float] = defaultdict(float)
    counts: dict[str, int] = defaultdict(int)
    for _, layer, ms in _layers(report, state):
        times[layer.operator or "?"] += ms
        counts[layer.operator or "?"] += 1
    total = sum(times.values())
    ordered = sorted(times, key=lambda name: -times[name])[:OPERATORS]
    rows = [
        [clipped(name, 40), str(counts[name]), short(times[name]), percent(times[name] / total)]
        for name in ordered
    ]
    return Sheet(f"{state}: what its layers do", ["operator", "layers", "ms", "%"], rows)


def layers_sheet(report: ProfileReport, rows: int) -> Sheet:
    """The costliest layers of all engines, each in the first state that runs it."""
    seen: set[str] = set()
    layers: list[tuple[str, LayerCost, float]] = []
    for state in report.states:
        new = [each for each in _layers(report, state) if each[0] not in seen]
        seen |= {engine for engine, _, _ in new}
        layers += new
    layers.sort(key=lambda each: -each[2])
    shown = [
        [
            engine,
            clipped(layer.weights or layer.name, LAYER_WIDTH),
            clipped(layer.operator, OPERATOR_WIDTH),
            short(ms),
            percent(layer.share),
        ]
        for engine, layer, ms in layers[:rows]
    ]
    note = "in the first state that runs the engine; its layers share the time it takes unobserved"
    return Sheet(
        f"the {len(shown)} costliest of {len(layers)} layers",
        ["engine", "weights or layer", "operator", "ms", "% of it"],
        shown,
        note,
        words=frozenset({1, 2}),
    )


def _layers(report: ProfileReport, state: str) -> list[tuple[str, LayerCost, float]]:
    """The layers of a state, with the milliseconds that each has of what its engine takes."""
    found = report.states[state]
    taken = found.breakdown.engines
    return [
        (engine, layer, layer.share * taken[engine])
        for engine, mine in found.engines.items()
        for layer in mine.layers
    ]


def errors_sheet(errors: ErrorReport) -> Sheet:
    """What each engine's form costs alone, and all together."""
    rows = [["all together", *_worst(errors.whole)]]
    ordered = sorted(errors.engines.items(), key=lambda each: -max(each[1].values()))
    rows += [[engine, *_worst(states)] for engine, states in ordered]
    return Sheet(
        f"{errors.variant}: error of an engine alone, {errors.samples} samples",
        ["engine", "error", "in state"],
        rows,
        "one minus the mean cosine to the embedding of FP32, in the state that loses most",
        words=frozenset({2}),
    )


def layer_errors_sheet(errors: ErrorReport, rows: int) -> Sheet:
    """The layers that move the embedding most."""
    shown = []
    for each in errors.layers[:rows]:
        error, state = _worst(each.states)
        name = each.weights or each.layer
        shown.append([each.engine, clipped(name, LAYER_WIDTH + 6), each.operator, error, state])
    return Sheet(
        f"{errors.variant}: the {len(shown)} costliest of {len(errors.layers)} quantized layers",
        ["engine", "weights or layer", "operator", "error", "in state"],
        shown,
        "one layer quantized, all else in FP32: what to keep in float stands first",
        words=frozenset({1, 2, 4}),
    )


def _worst(states: dict[str, float]) -> list[str]:
    state = max(states, key=lambda name: states[name])
    return [f"{states[state]:.1e}", state]


def _what(report: ProfileReport) -> str:
    samples = "one sample" if report.batch == 1 else f"batches of {report.batch}"
    return f"{report.backend} {report.precision}, {samples}"


def clipped(name: str, width: int) -> str:
    """A name in so many characters: its end tells more than its beginning."""
    return name if len(name) <= width else f"..{name[2 - width :]}"
