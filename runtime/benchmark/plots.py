"""What it costs to run a bundle: latency by engine, throughput against batch, and a roofline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from denet.figures.style import GRID, INK, MUTED, SERIES, new_figure
from denet.graph import Kind, component, kind_of

WIDTH = 9.8
"""Of a figure, in inches."""

BRANCHES = (SERIES[0], "#4c83c3", "#86aedb")
"""Shades of the branches, in the order of their modalities."""

COLORS: dict[Kind, str] = {"cmft": SERIES[1], "dem": SERIES[2]}
"""Of the other kinds of engines."""

OUTSIDE = "outside"
"""The part of a stack in which no engine runs."""

KINDS: dict[Kind, tuple[str, str]] = {
    "branch": ("branches", "o"),
    "cmft": ("CMFTs", "s"),
    "dem": ("DEM edges", "^"),
}
"""Of engines in the roofline: label and marker."""


@dataclass(frozen=True)
class Stack:
    """The latency of a state, in milliseconds.

    Attributes:
        p50: the median.
        p99: the 99th percentile.
        parts: what it is made of, bottom first: engines by name, and "outside".
    """

    p50: float
    p99: float
    parts: Mapping[str, float]


@dataclass(frozen=True)
class Curve:
    """Throughput against batch: samples a second, and between which values it moved."""

    sizes: Sequence[int]
    per_second: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


@dataclass(frozen=True)
class Point:
    """An engine in the roofline.

    Attributes:
        engine: its name.
        series: whose engine.
        intensity: FLOP for a byte that must be moved.
        rate: FLOP/s that it reaches.
        share: of its limit.
    """

    engine: str
    series: str
    intensity: float
    rate: float
    share: float


def latency_figure(variants: Mapping[str, Mapping[str, Stack]]) -> Figure:
    """The latency of each state, stacked by engine.

    Args:
        variants: by name, the stack of each state; all have the same states, at least one.
    """
    states = list(next(iter(variants.values())))
    columns = min(2, len(variants))
    rows = -(-len(variants) // columns)
    figure = new_figure(WIDTH, 0.95 + rows * (0.55 + 0.3 * len(states)))
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    every = [stack for stacks in variants.values() for stack in stacks.values()]
    longest = max(stack.p99 for stack in every)
    groups = _groups(every)
    for index, (name, stacks) in enumerate(variants.items()):
        ax = axes[index // columns][index % columns]
        _stacks(ax, list(stacks.values()), groups, longest, 0.06 * columns)
        if len(variants) > 1:
            ax.set_title(name)
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        ax.grid(axis="x")
        if index + columns >= len(variants):
            ax.tick_params(labelbottom=True)
            ax.set_xlabel("ms, one sample from network input to embedding")
    for index in range(len(variants), rows * columns):
        axes[index // columns][index % columns].set_visible(False)
    axes[0][0].set_yticks(range(len(states)), states)
    axes[0][0].set_ylim(len(states) - 0.45, -0.55)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def _groups(stacks: Iterable[Stack]) -> dict[str, tuple[str, str]]:
    """The label and the color of each part: a branch has its own, other engines their kind's."""
    parts = dict.fromkeys(part for stack in stacks for part in stack.parts)
    groups: dict[str, tuple[str, str]] = {}
    branches = 0
    for part in parts:
        if part == OUTSIDE:
            groups[part] = "outside engines", SERIES[3]
        elif (kind := kind_of(part)) == "branch":
            shade = BRANCHES[branches % len(BRANCHES)]
            groups[part] = f"branch {component(part).source}", shade
            branches += 1
        else:
            groups[part] = KINDS[kind][0], COLORS[kind]
    return groups


def _stacks(
    ax: Axes,
    stacks: Sequence[Stack],
    groups: Mapping[str, tuple[str, str]],
    longest: float,
    room: float,
) -> None:
    """The bars; beside them p50 and p99, `room` of the axes' width apart."""
    named: set[str] = set()
    for row, stack in enumerate(stacks):
        at = 0.0
        for part, ms in stack.parts.items():
            label, color = groups[part]
            ax.barh(
                row, ms, 0.66, left=at, color=color, edgecolor="white", linewidth=0.5,
                label=None if label in named else label,
            )  # fmt: skip
            named.add(label)
            at += ms
        ax.plot(
            (stack.p99, stack.p99), (row - 0.33, row + 0.33), color=INK, linewidth=1.2,
            label=None if row else "p99",
        )  # fmt: skip
        for place, ms, weight in ((1.02, stack.p50, "bold"), (1.02 + room, stack.p99, "normal")):
            ax.text(
                place, row, short(ms), transform=ax.get_yaxis_transform(), va="center",
                fontsize=8.5, fontweight=weight,
            )  # fmt: skip
    for place, text in ((1.02, "p50"), (1.02 + room, "p99")):
        ax.text(place, 1.0, text, transform=ax.transAxes, va="bottom", fontsize=8, color=MUTED)
    ax.set_xlim(0, 1.03 * longest)


def short(value: float) -> str:
    """A number above zero in three digits or so."""
    digits = next((n for n, least in enumerate((100, 10)) if value >= least), 2)
    return f"{value:.{digits}f}"


def throughput_figure(states: Mapping[str, Mapping[str, Curve]]) -> Figure:
    """Samples a second against the batch.

    Args:
        states: the line of each variant, by state; at least one of each.
    """
    figure = new_figure(WIDTH, 3.4)
    all_axes = figure.subplots(1, len(states), squeeze=False)[0]
    for ax, (state, lines) in zip(all_axes, states.items(), strict=True):
        for number, (name, line) in enumerate(lines.items()):
            color = SERIES[number % len(SERIES)]
            ax.fill_between(line.sizes, line.low, line.high, color=color, alpha=0.18, linewidth=0)
            ax.plot(line.sizes, line.per_second, marker="o", markersize=4, color=color, label=name)
        sizes = next(iter(lines.values())).sizes
        ax.set_xscale("log", base=2)
        ax.set_xticks(sizes, [str(size) for size in sizes])
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_ylim(0, 1.12 * max(max(line.high) for line in lines.values()))
        ax.set_title(state)
        ax.set_xlabel("batch")
        ax.grid(axis="y")
    all_axes[0].set_ylabel("samples per second")
    handles, labels = all_axes[0].get_legend_handles_labels()
    if len(labels) > 1:
        figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)))
    return figure


def roofline_figure(
    rates: Mapping[str, float], bandwidths: Mapping[str, float], points: Sequence[Point]
) -> Figure:
    """What engines reach, beside what the machine can do.

    Args:
        rates: FLOP/s of matrix products, by precision.
        bandwidths: bytes/s, by what they are of.
        points: the engines, at least one.
    """
    figure = new_figure(WIDTH, 4.6)
    ax = figure.add_subplot()
    low = min(point.intensity for point in points) / 2.5
    high = max(point.intensity for point in points) * 6
    top = max(rates.values())
    for (name, bandwidth), style in zip(bandwidths.items(), ("-", (0, (4, 2))), strict=False):
        ends = [low, top / bandwidth]
        ax.plot(ends, [bandwidth * x for x in ends], color=MUTED, linewidth=1.3, linestyle=style)
        ax.annotate(
            f"{name}: {bandwidth / 1e9:.0f} GB/s", (ends[1], top), xytext=(2, 4),
            textcoords="offset points", ha="right", color=MUTED, fontsize=8,
        )  # fmt: skip
    for name, rate in rates.items():
        ax.plot((rate / max(bandwidths.values()), high), (rate, rate), color=MUTED, linewidth=1.3)
        ax.annotate(
            f"{name}: {rate / 1e9:.0f} GFLOP/s", (high, rate), xytext=(-2, 4),
            textcoords="offset points", ha="right", color=MUTED, fontsize=8,
        )  # fmt: skip
    series = list(dict.fromkeys(point.series for point in points))
    for point in points:
        _, marker = KINDS[kind_of(point.engine)]
        ax.plot(
            point.intensity, point.rate, marker=marker, markersize=6.5, linestyle="",
            color=SERIES[series.index(point.series) % len(SERIES)], alpha=0.75,
            markeredgecolor="white", markeredgewidth=0.5,
        )  # fmt: skip
    _name_kinds(ax, points, series)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(low, high)
    ax.set_ylim(min(p.rate for p in points) / 3, top * 2.2)
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    ax.xaxis.set_major_formatter(plain)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1e9:g}"))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("FLOP for each byte of weights, inputs and outputs")
    ax.set_ylabel("GFLOP/s")
    ax.grid(color=GRID)
    return figure


def _name_kinds(ax: Axes, points: Sequence[Point], series: Sequence[str]) -> None:
    """Beside the engines of each kind: what share of their limit they reach; and a legend."""
    for kind, (label, marker) in KINDS.items():
        for name in series:
            mine = [p for p in points if p.series == name and kind_of(p.engine) == kind]
            if not mine:
                continue
            right = max(mine, key=lambda p: p.intensity)
            shares = sorted(100 * p.share for p in mine)
            ax.annotate(
                f"{label} {shares[0]:.0f} to {shares[-1]:.0f} %", (right.intensity, right.rate),
                xytext=(8, -9 * series.index(name)), textcoords="offset points", va="center",
                fontsize=8,
                color=SERIES[series.index(name) % len(SERIES)],
            )  # fmt: skip
        ax.plot([], [], marker=marker, linestyle="", color=INK, label=label)
    for number, name in enumerate(series if len(series) > 1 else ()):
        ax.plot([], [], linewidth=4, color=SERIES[number % len(SERIES)], label=name)
    ax.legend(loc="lower right", fontsize=8)
