"""What came of embedding and of the canary: tables for a person, and the same as plain data."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from runtime.canary import CanaryReport
from runtime.embeddings import Embedded


def embedded_table(result: Embedded) -> Table:
    """One row for each state that occurred: samples, engines run, milliseconds."""
    table = Table("state", title="Embedded", title_justify="left")
    for column in ("samples", "engines run", "ms per sample"):
        table.add_column(column, justify="right")
    for row in embedded_facts(result):
        table.add_row(
            row["state"],
            str(row["samples"]),
            str(row["engines"]),
            f"{row['ms_per_sample']:.1f}",
        )
    return table


def embedded_facts(result: Embedded) -> list[dict[str, Any]]:
    """What `embedded_table` shows, as plain data for a program."""
    rows = []
    for state in result.seconds:
        mine = [i for i, other in enumerate(result.states) if other == state]
        rows.append(
            {
                "state": state.name,
                "samples": len(mine),
                "engines": len(result.graph.plan(state).calls),
                "ms_per_sample": 1e3 * result.seconds[state] / len(mine),
            }
        )
    return rows


def canary_table(report: CanaryReport) -> Table:
    """The canary's cosine in each state."""
    table = Table("state", title="Canary", title_justify="left")
    table.add_column("cosine to PyTorch", justify="right")
    table.add_column("at least", justify="right")
    for state, cosine in report.cosines.items():
        table.add_row(state, f"{cosine:.8f}", f"{report.min_cosine}")
    return table
