"""A report as one HTML page that needs no other file.

Needs `matplotlib` and `jinja2`, which a camera node does not have: they are imported where they are
used.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from runtime.benchmark.costs import BatchCost, StateCost
from runtime.benchmark.errors import BenchmarkError
from runtime.benchmark.grid import percent, short
from runtime.benchmark.result import Report, Variant
from runtime.benchmark.stats import throughput
from runtime.benchmark.summary import summary
from runtime.benchmark.tables import grids

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from denet.figures.drawing import Drawing
    from runtime.benchmark.plots import Line, Point, Stack

HEADINGS = {
    "latency": "Latency of each missing state",
    "throughput": "Throughput against batch",
    "roofline": "How near to what the machine can do",
}
"""Above each plot, by its kind."""

CAPTIONS = {
    "latency": "Each bar is the median, divided as the traced runs of the state divide. A dark "
    "line is the 99th percentile. Outside engines is the runtime's own time, copies included.",
    "throughput": "From preprocessed images. The band is between the slowest and the fastest "
    "stretch of the measurement.",
    "roofline": "Each mark is an engine, inside the first state that runs it, at batch 1. The "
    "roofs are what this machine was seen to do at best: a matrix product, and a copy of few bytes "
    "(in a cache) or many. In per cent is what an engine reaches of its own limit, whose bandwidth "
    "is that of as many bytes as the engines of its state have.",
}
"""Under each plot, by its kind."""


def check_page() -> None:
    """See that a page can be made.

    Raises:
        BenchmarkError: a package is not installed.
    """
    for package in ("jinja2", "matplotlib"):
        if find_spec(package) is None:
            raise BenchmarkError(
                f"a page needs {package}, which a camera node does not have: "
                "pip install '.[report]'"
            )


def page(report: Report) -> str:
    """The report as a page."""
    from denet.page import templates

    return (
        templates("runtime.benchmark")
        .get_template("page.html.jinja")
        .render(
            report=report,
            summary=summary(report),
            cards={name: cards(variant) for name, variant in report.variants.items()},
            plots=[(HEADINGS[drawing.name.partition(" ")[0]], drawing) for drawing in draw(report)],
            grids=grids(report),
        )
    )


def cards(variant: Variant) -> list[tuple[str, str, str]]:
    """A variant in three numbers: (what, how much, more on it)."""
    found = []
    if variant.states:
        costs = list(variant.states.items())
        for state, cost in (costs[0], min(costs, key=lambda item: item[1].latency.p50)):
            tail = f"p99 {short(cost.latency.p99)}; {short(throughput(cost.latency, 1))} per second"
            found.append((state, f"{short(cost.latency.p50)} ms", tail))
        shares = [cost.breakdown.share for cost in variant.states.values()]
        found.append(
            ("outside engines", f"{percent(statistics.median(shares))} %", "of a state's time")
        )
    return found


def draw(report: Report) -> list[Drawing]:
    """The plots that the report allows, each named by its kind, and by what it is of."""
    from denet.figures.drawing import Drawing
    from denet.figures.style import render
    from runtime.benchmark import plots

    figures: dict[str, Callable[[], Figure]] = {}
    stacks = {
        name: {state: stack(cost) for state, cost in variant.states.items()}
        for name, variant in report.variants.items()
        if variant.states
    }
    if stacks:
        figures["latency"] = partial(plots.latency_figure, stacks)
    lines: dict[str, dict[str, Line]] = {}
    for name, variant in report.variants.items():
        for state, batches in variant.batches.items():
            lines.setdefault(state, {})[name] = line(batches)
    if lines:
        figures["throughput"] = partial(plots.throughput_figure, lines)
    for backend, roofs in report.roofs.items():
        marks = points(report, backend)
        if marks:
            sizes = sorted(roofs.copies)
            slopes = {
                f"copy of {size >> 20} MiB": roofs.copies[size] for size in (sizes[-1], sizes[0])
            }
            figures[f"roofline of {backend}"] = partial(
                plots.roofline_figure, roofs.rates, slopes, marks
            )
    return [
        Drawing(name, CAPTIONS[name.partition(" ")[0]], render(make))
        for name, make in figures.items()
    ]


def stack(cost: StateCost) -> Stack:
    """A state's bar: its median, divided as its traced runs divide."""
    from runtime.benchmark.plots import Stack

    parts = dict(cost.breakdown.engines) | {"outside": cost.breakdown.outside}
    whole = sum(parts.values())
    scale = cost.latency.p50 / whole if whole else 0.0
    scaled: dict[str, Any] = {part: ms * scale for part, ms in parts.items()}
    return Stack(cost.latency.p50, cost.latency.p99, scaled)


def line(batches: dict[int, BatchCost]) -> Line:
    """A state's line of throughput."""
    from runtime.benchmark.plots import Line

    return Line(
        list(batches),
        [cost.per_second for cost in batches.values()],
        [1e3 * size / cost.timing.high for size, cost in batches.items()],
        [1e3 * size / cost.timing.low for size, cost in batches.items()],
    )


def points(report: Report, backend: str) -> list[Point]:
    """The engines whose limits are known."""
    from runtime.benchmark.plots import Point

    return [
        Point(
            engine,
            name,
            limit.flops / (limit.weight_bytes + limit.moved_bytes),
            1e3 * limit.flops / cost.timing.p50,
            limit.share,
        )
        for name, variant in report.variants.items()
        for engine, cost in variant.engines.items()
        if variant.backend == backend and (limit := cost.limit) is not None and cost.timing.p50
    ]
