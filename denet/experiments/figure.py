"""What is read off a finished run: one column of a table.

A column is called by its metric and by where it is measured: "mAP rgb+tir", "R1 25%",
"mAP rgb -> tir". The paper's figures have the same names (`denet.experiments.published`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import nan
from statistics import mean
from typing import Any

from denet import examine
from denet.evaluate import parse_rates
from denet.graph import Graph, State

Facts = Mapping[str, Any]
"""What `examine.Examination.facts` says of a run."""

METRICS = ("mAP", "R1", "R5", "R10")

ABLATION_RATE = 0.25
"""The missing rate of the paper's Tables V and VI."""

RATES = tuple(sorted({*parse_rates(examine.RATES), ABLATION_RATE}))
"""The missing rates that are measured of every run."""


@dataclass(frozen=True)
class Figure:
    """A column.

    Attributes:
        name: its head.
        read: the number, in per cent, from the facts of a run; a KeyError where a set did not
            support what it is of.
    """

    name: str
    read: Callable[[Facts], float]

    def of(self, facts: Facts) -> float:
        """The number; NaN where the set did not support what it is of."""
        try:
            return self.read(facts)
        except KeyError:
            return nan


def accuracy(where: str, query: State, gallery: State, metric: str = "mAP") -> Figure:
    """The accuracy of queries in one state against a gallery in another or the same."""
    return Figure(
        f"{metric} {where}", lambda facts: float(facts["matrix"][f"{query} / {gallery}"][metric])
    )


def _over_states(name: str, states: tuple[State, ...]) -> Figure:
    def read(facts: Facts) -> float:
        found = [facts["states"][s.name]["mAP"] for s in states if s.name in facts["states"]]
        if not found:
            raise KeyError(name)
        return mean(map(float, found))

    return Figure(f"mAP {name}", read)


def cross_modality(graph: Graph) -> tuple[Figure, ...]:
    """mAP of queries in one modality, gallery in another, for each pair and on average."""
    each = tuple(between(graph, source, target) for source, target in graph.pairs)
    return (*each, Figure("mAP mean", lambda facts: mean(figure.read(facts) for figure in each)))


def between(graph: Graph, query: str, gallery: str, metric: str = "mAP") -> Figure:
    """The accuracy of queries in one modality, gallery in another."""
    states = graph.state([query]), graph.state([gallery])
    return accuracy(f"{query} -> {gallery}", *states, metric)


def at_rate(rate: float, metric: str = "mAP") -> Figure:
    """The accuracy at one of `RATES`."""
    return Figure(
        f"{metric} {rate:.0%}", lambda facts: float(facts["missing_rate"][str(rate)][metric])
    )


def in_state(graph: Graph, state: State, metric: str = "mAP") -> Figure:
    """The accuracy where query and gallery are in one state."""
    return accuracy("complete" if state == graph.complete else state.name, state, state, metric)


def each_state(graph: Graph, metric: str = "mAP") -> tuple[Figure, ...]:
    """The accuracy in each state, of query and gallery alike."""
    return tuple(in_state(graph, state, metric) for state in graph.states)


def means(graph: Graph) -> tuple[Figure, ...]:
    """mAP over the states that lack as many modalities, and over all that lack some."""
    poor = tuple(state for state in graph.states if state != graph.complete)
    groups = tuple(_over_states(name, states) for name, states in graph.groups.items())
    return (*groups, _over_states("mean of missing", poor)) if poor else groups


def of_all(graph: Graph) -> Figure:
    """mAP over all states."""
    return _over_states("mean of all", graph.states)


def means_and_half(graph: Graph) -> tuple[Figure, ...]:
    """`means`, and mAP where half of the samples lost something."""
    return (*means(graph), at_rate(0.5))


def at_rates(_: Graph) -> tuple[Figure, ...]:
    """mAP at each of `RATES`."""
    return tuple(at_rate(rate) for rate in RATES)
