"""What is read off a finished run: one column of a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import mean
from typing import Any

from denet import examine
from denet.evaluate import parse_rates
from denet.graph import Graph, State

Facts = Mapping[str, Any]
"""What `examine.Examination.facts` says of a run."""


@dataclass(frozen=True)
class Figure:
    """A column.

    Attributes:
        name: its head.
        read: the number, in per cent, from the facts of a run.
    """

    name: str
    read: Callable[[Facts], float]


def accuracy(name: str, query: State, gallery: State, metric: str = "mAP") -> Figure:
    """The accuracy of queries in one state against a gallery in another or the same."""
    return Figure(name, lambda facts: float(facts["matrix"][f"{query} / {gallery}"][metric]))


def _over_states(name: str, states: tuple[State, ...]) -> Figure:
    def read(facts: Facts) -> float:
        return mean(float(facts["states"][state.name]["mAP"]) for state in states)

    return Figure(name, read)


def cross_modality(graph: Graph) -> tuple[Figure, ...]:
    """Query in one modality, gallery in another, for each pair and on average."""
    cells = [(graph.state([q]), graph.state([g])) for q, g in graph.pairs]
    each = tuple(accuracy(f"{query} -> {gallery}", query, gallery) for query, gallery in cells)
    return (*each, Figure("mean", lambda facts: mean(figure.read(facts) for figure in each)))


def _at_rate(rate: float) -> Figure:
    return Figure(f"{rate:.0%}", lambda facts: float(facts["missing_rate"][str(rate)]["mAP"]))


def each_state(graph: Graph) -> tuple[Figure, ...]:
    """mAP in each state, of query and gallery alike."""
    return tuple(
        accuracy("complete" if state == graph.complete else state.name, state, state)
        for state in graph.states
    )


def complete_rank(graph: Graph) -> Figure:
    """R1 where nothing is missing."""
    return accuracy("R1 complete", graph.complete, graph.complete, "R1")


def means(graph: Graph) -> tuple[Figure, ...]:
    """mAP over the states that lack as many modalities, and over all that lack some."""
    poor = tuple(state for state in graph.states if state != graph.complete)
    groups = tuple(_over_states(name, states) for name, states in graph.groups.items())
    return (*groups, _over_states("mean of missing", poor)) if poor else groups


def at_rates(_: Graph) -> tuple[Figure, ...]:
    """mAP at each of `RATES`."""
    return tuple(_at_rate(rate) for rate in RATES)


RATES = tuple(parse_rates(examine.RATES))
