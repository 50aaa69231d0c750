"""Tables of evaluation results for a person, and the same as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.table import Table

from denet.evaluate import RANKS
from denet.graph import State
from denet.metrics import Ranking


def ranking_facts(ranking: Ranking) -> dict[str, Any]:
    """mAP and CMC in per cent, and how many queries counted."""
    return {
        "mAP": ranking.map,
        **{f"R{k}": ranking.cmc(k) for k in RANKS},
        "queries": ranking.queries,
    }


def ranking_table(title: str, first: str, rankings: Mapping[str, Ranking]) -> Table:
    """One row for each ranking, and their mean where there are several."""
    table = Table(first, title=title, title_justify="left")
    columns = ["mAP", *(f"R{k}" for k in RANKS)]
    for column in columns:
        table.add_column(column, justify="right")
    rows = [ranking_facts(ranking) for ranking in rankings.values()]
    for name, row in zip(rankings, rows, strict=True):
        table.add_row(name, *(f"{row[column]:.1f}" for column in columns))
    if len(rows) > 1:
        table.add_section()
        means = [float(np.mean([row[column] for row in rows])) for column in columns]
        table.add_row("mean", *(f"{mean:.1f}" for mean in means))
    return table


def matrix_table(rankings: Mapping[tuple[State, State], Ranking]) -> Table:
    """mAP of each state of the query (rows) against each state of the gallery (columns)."""
    states = list(dict.fromkeys(query for query, _ in rankings))
    table = Table("query \\ gallery", title="mAP, state against state", title_justify="left")
    for state in states:
        table.add_column(state.name, justify="right")
    for query in states:
        table.add_row(query.name, *(f"{rankings[query, g].map:.1f}" for g in states))
    return table
