"""The tables of an experiment: mean and spread over the seeds, as Markdown and for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from rich.table import Table

from denet.experiments.catalog import Experiment
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
    """Mean and sample standard deviation, in per cent: "43.8 ± 1.2"."""
    if len(values) == 1:
        return f"{values[0]:.1f}"
    return f"{mean(values):.1f} ± {stdev(values):.1f}"


def tabulate(experiment: Experiment, jobs: Sequence[Job], data: str) -> ResultTable:
    """mAP in per cent of each variant, over the finished `jobs`; then the paper's rows.

    Args:
        experiment: rows and columns.
        jobs: finished.
        data: the name of the layout, which decides whether published figures stand beside. They
            name the set that they are of, since others come in the same layout.
    """
    figures = experiment.figures(jobs[0].recipe.model.graph)
    rows = []
    for variant in experiment.variants:
        facts = list(results(jobs, variant))
        cells = [mean_and_spread([figure.read(f) for f in facts]) for figure in figures]
        rows.append((variant.label, *cells))
    for label, published in experiment.published.get(data, {}).items():
        rows.append((label, *(published.get(figure.name, "-") for figure in figures)))
    heads = ("mAP, %", *(figure.name for figure in figures))
    return ResultTable(experiment.title, heads, tuple(rows))
