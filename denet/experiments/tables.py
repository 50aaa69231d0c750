"""The tables of an experiment: mean and spread over the seeds, as Markdown and for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from statistics import mean, stdev

from rich.table import Table

from denet.experiments.catalog import Block, Experiment
from denet.experiments.figure import Figure
from denet.experiments.study import Job, results


@dataclass(frozen=True)
class ResultTable:
    """A table of texts: a title, column heads, and rows that begin with their label."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """The table in Markdown, without its title."""
        lines = [
            "| " + " | ".join(row) + " |"
            for row in (self.heads, ("---", *["---:"] * (len(self.heads) - 1)), *self.rows)
        ]
        return "\n".join(lines) + "\n"

    def for_terminal(self) -> Table:
        """The table for `rich`, turned on its side where it is wider than it is long."""
        lines: Sequence[Sequence[str]] = (self.heads, *self.rows)
        if len(self.heads) > len(self.rows) + 1:
            lines = list(zip(*lines, strict=True))
        table = Table(lines[0][0], title=self.title, title_justify="left")
        for head in lines[0][1:]:
            table.add_column(head, justify="right")
        for row in lines[1:]:
            table.add_row(*row)
        return table


def mean_and_spread(values: Sequence[float]) -> str:
    """Mean and sample standard deviation, in per cent: "43.8 ± 1.2"; "-" if one is NaN."""
    if any(map(isnan, values)):
        return "-"
    if len(values) == 1:
        return f"{values[0]:.1f}"
    return f"{mean(values):.1f} ± {stdev(values):.1f}"


def tabulate(experiment: Experiment, jobs: Sequence[Job]) -> list[ResultTable]:
    """A table of each block: every variant over the finished `jobs`, then the paper's rows.

    The published figures stand beside whatever data was measured. They name the set that they are
    of.

    Args:
        experiment: its blocks.
        jobs: finished.
    """
    graph = jobs[0].recipe.model.graph
    return [
        _table(block, f"{experiment.title}. {block.title}", block.figures(graph), jobs)
        for block in experiment.blocks_of(graph)
    ]


def _table(block: Block, title: str, figures: Sequence[Figure], jobs: Sequence[Job]) -> ResultTable:
    rows = []
    for variant in block.variants:
        facts = list(results(jobs, variant))
        cells = [mean_and_spread([figure.of(f) for f in facts]) for figure in figures]
        rows.append((variant.label, *cells))
    for method, published in block.published.items():
        cells = [f"{published[f.name]:.1f}" if f.name in published else "-" for f in figures]
        rows.append((f"{method}, published", *cells))
    return ResultTable(title, ("%", *(figure.name for figure in figures)), tuple(rows))


def markdown(tables: Sequence[ResultTable]) -> str:
    """Tables with their titles, as one text."""
    return "\n".join(f"**{table.title}**\n\n{table.markdown()}" for table in tables)
