"""What may run in the place of each state: cheaper ones, each the best for its cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from denet.graph import Graph, State

NEAR = 1.05
"""Costs that differ by less are one: they were measured."""

ShedTable = Mapping[State, Sequence["StateChoice"]]
"""Of each state what may run in its place, itself first; cost and worth fall."""


@dataclass(frozen=True)
class StateChoice:
    """A state that may run.

    Attributes:
        state: of the modalities that are used.
        cost: seconds of a crop, in a full batch.
        worth: of its embeddings; what the numbers are, the evaluation says. More is better.
    """

    state: State
    cost: float
    worth: float


def shed_table(
    graph: Graph,
    costs: Mapping[State, float],
    worths: Mapping[State, float],
    floor: State | None = None,
) -> dict[State, tuple[StateChoice, ...]]:
    """For each state those of its parts that are worth more than all that cost no more, or hardly
    more.

    Args:
        graph: of the modalities.
        costs: seconds of a crop in each state.
        worths: of the embeddings of each.
        floor: nothing that is worth less than this state is run in the place of another.
    """
    least = float("-inf") if floor is None else worths[floor]
    table = {}
    for whole in graph.states:
        own = StateChoice(whole, costs[whole], worths[whole])
        parts = [
            StateChoice(state, costs[state], worths[state])
            for state in graph.states
            if set(state.available) < set(whole.available)
            and costs[state] < own.cost
            and worths[state] >= least
        ]
        kept: list[StateChoice] = []
        for choice in sorted(parts, key=lambda each: (each.cost, -each.worth)):
            if kept and choice.worth <= kept[-1].worth:
                continue
            if kept and choice.cost <= NEAR * kept[-1].cost:
                kept.pop()
            kept.append(choice)
        table[whole] = (own, *reversed(kept))
    return table
