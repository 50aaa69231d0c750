"""What is read off a finished run: one column of a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import mean
from typing import Any

from denet import examine
from denet.evaluate import parse_rates
from denet.graph import COMPLETE, GROUPS, MODALITIES, STATES, State

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


def cross_modality() -> tuple[Figure, ...]:
    """Query in one modality, gallery in another, for each pair and on average."""
    cells = [(State.of([q]), State.of([g])) for q in MODALITIES for g in MODALITIES if q != g]
    each = tuple(accuracy(f"{query} -> {gallery}", query, gallery) for query, gallery in cells)
    return (*each, Figure("mean", lambda facts: mean(figure.read(facts) for figure in each)))


def _at_rate(rate: float) -> Figure:
    return Figure(f"{rate:.0%}", lambda facts: float(facts["missing_rate"][str(rate)]["mAP"]))


EACH_STATE = tuple(
    accuracy("complete" if state == COMPLETE else state.name, state, state) for state in STATES
)
COMPLETE_RANK = accuracy("R1 complete", COMPLETE, COMPLETE, "R1")
MEANS = (
    *(_over_states(name, states) for name, states in GROUPS.items()),
    _over_states("mean of missing", tuple(s for s in STATES if s.missing)),
)
RATES = tuple(parse_rates(examine.RATES))
ETA = tuple(_at_rate(rate) for rate in RATES)
