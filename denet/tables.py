"""Tables of evaluation results for a person, and the same as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.table import Table

from denet.evaluate import RANKS
from denet.graph import Edge, Graph, State
from denet.metrics import Ranking
from denet.recovery import Recovery, mean_recovery


def ranking_facts(ranking: Ranking) -> dict[str, Any]:
    """mAP and CMC in per cent, and how many queries counted."""
    return {
        "mAP": ranking.map,
        **{f"R{k}": ranking.cmc(k) for k in RANKS},
        "queries": ranking.queries,
    }


AS_IT_IS = "each as it is"
"""The row of samples that are in different states, each in its own."""


def ranking_table(
    title: str, first: str, rankings: Mapping[str, Ranking], own: Ranking | None = None
) -> Table:
    """One row for each ranking, and their mean where there are several; with `own`, how many
    queries each is of, and a row of it."""
    table = Table(first, title=title, title_justify="left")
    columns = ["mAP", *(f"R{k}" for k in RANKS)]
    for column in (*columns, *(["queries"] if own else [])):
        table.add_column(column, justify="right")
    rows = [ranking_facts(ranking) for ranking in rankings.values()]
    named = {**rankings, AS_IT_IS: own} if own else rankings
    for name, row in zip(named, (*rows, *([ranking_facts(own)] if own else [])), strict=True):
        count = [str(row["queries"])] if own else []
        table.add_row(name, *(f"{row[column]:.1f}" for column in columns), *count)
    if len(rows) > 1:
        table.add_section()
        means = [float(np.mean([row[column] for row in rows])) for column in columns]
        table.add_row("mean", *(f"{mean:.1f}" for mean in means))
    return table


def matrix_table(rankings: Mapping[tuple[State, State], Ranking]) -> Table:
    """mAP of each state of the query (rows) against each state of the gallery (columns)."""
    queries = list(dict.fromkeys(query for query, _ in rankings))
    states = sorted({g for _, g in rankings}, key=[g for _, g in rankings].index)
    table = Table("query \\ gallery", title="mAP, state against state", title_justify="left")
    for state in states:
        table.add_column(state.name, justify="right")
    for query in queries:
        row = (rankings.get((query, g)) for g in states)
        table.add_row(query.name, *("-" if r is None else f"{r.map:.1f}" for r in row))
    return table


@dataclass(frozen=True)
class ComparisonRow:
    """One row of a comparison of models.

    Attributes:
        name: a state, or what the row is the mean of.
        kind: a group of `denet.graph.Graph.groups`, or "all states".
        mean: whether it is a mean over states.
        values: mAP and R1 in per cent, of each model in order.
    """

    name: str
    kind: str
    mean: bool
    values: tuple[tuple[float, float], ...]


def comparison_rows(
    graph: Graph,
    models: Sequence[Mapping[State, Ranking]],
    own: Sequence[Ranking | None] = (),
) -> list[ComparisonRow]:
    """A row for each state, and for the means over those that lack as many, and over all states.

    Args:
        graph: whose states they are.
        models: ranking in every state that was measured, the same ones of each model.
        own: of each model, that of each sample as it is, where that was measured.
    """
    measured = [s for s in graph.states if all(s in rankings for rankings in models)]

    def values(states: Sequence[State]) -> tuple[tuple[float, float], ...]:
        return tuple(
            (
                float(np.mean([rankings[s].map for s in states])),
                float(np.mean([rankings[s].cmc(1) for s in states])),
            )
            for rankings in models
        )

    rows: list[ComparisonRow] = []
    for kind, group in graph.groups.items():
        states = [s for s in group if s in measured]
        rows += [ComparisonRow(s.name, kind, False, values([s])) for s in states]
        if len(states) > 1:
            rows.append(ComparisonRow(f"mean, {kind}", kind, True, values(states)))
    if measured:
        rows.append(ComparisonRow("mean, all states", "all states", True, values(measured)))
    if numbers := tuple((r.map, r.cmc(1)) for r in own if r is not None):
        rows.append(ComparisonRow(AS_IT_IS, AS_IT_IS, False, numbers))
    return rows


def comparison_table(
    title: str,
    graph: Graph,
    models: Mapping[str, Mapping[State, Ranking]],
    own: Sequence[Ranking | None] = (),
) -> Table:
    """mAP and R1 in all states, two columns for each model. As `comparison_rows`."""
    table = Table(title=title, title_justify="left")
    table.add_column("state", no_wrap=True)
    for name in models:
        table.add_column(f"{name}\nmAP", justify="right", overflow="fold")
        table.add_column("\nR1", justify="right")
    for row in comparison_rows(graph, list(models.values()), own):
        numbers = [f"{value:.1f}" for pair in row.values for value in pair]
        table.add_row(
            row.name,
            *numbers,
            style="bold" if row.mean else None,
            end_section=row.kind in ("complete", "all states") or row.mean,
        )
    return table


def recovery_facts(recoveries: Mapping[Edge, Recovery]) -> dict[str, Any]:
    """By direction, as "rgb>nir", and their mean."""
    facts = {f"{source}>{target}": asdict(r) for (source, target), r in recoveries.items()}
    return facts | {"mean": asdict(mean_recovery(recoveries))}


def recovery_table(recoveries: Mapping[Edge, Recovery]) -> Table:
    """Recovered against real features: one row for each direction, and their mean."""
    table = Table(
        title="Recovered features: cosine to the real one, and to other identities'",
        title_justify="left",
    )
    table.add_column("recovered", no_wrap=True)
    columns = ("same", "different", "AUC")
    for column in (*columns, *(f"centred\n{column}" for column in columns)):
        table.add_column(column, justify="right")
    rows = {f"{target} from {source}": r for (source, target), r in recoveries.items()}
    for name, recovery in rows.items():
        table.add_row(name, *_similarities(recovery))
    table.add_section()
    table.add_row("mean", *_similarities(mean_recovery(recoveries)))
    return table


def _similarities(recovery: Recovery) -> list[str]:
    return [
        f"{value:.3f}"
        for side in (recovery.raw, recovery.centred)
        for value in (side.same, side.different, side.auc)
    ]
