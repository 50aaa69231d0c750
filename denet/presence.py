"""Which samples of a batch have which modality, and the rows that a term of the objective takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from denet.graph import Graph, Modality, State

Rows = tuple[int, ...]
"""Places in a batch, ascending, each once."""


@dataclass(frozen=True)
class Presence:
    """Which of the B samples of a batch have which modality; each has at least one.

    Attributes:
        graph: of the model.
        rows: the samples that have each modality; nobody where a modality is not in it.
        size: B.
    """

    graph: Graph
    rows: Mapping[Modality, Sequence[int]]
    size: int

    @classmethod
    def whole(cls, graph: Graph, size: int) -> Presence:
        """Of a batch in which every sample has every modality."""
        return cls(graph, {m: range(size) for m in graph.modalities}, size)

    @property
    def complete(self) -> bool:
        """Whether no sample lacks anything."""
        return all(len(self.rows.get(m, ())) == self.size for m in self.graph.modalities)

    def having(self, modalities: Iterable[Modality]) -> Rows:
        """The samples that have all of `modalities`."""
        return common(*(tuple(self.rows.get(m, ())) for m in modalities))

    @property
    def states(self) -> list[State]:
        """The missing state that each sample is in."""
        having = {m: set(self.rows.get(m, ())) for m in self.graph.modalities}
        return [self.graph.state(m for m in having if i in having[m]) for i in range(self.size)]

    def alike(self, device: torch.device) -> Tensor | None:
        """(B, B), whether two samples share a modality; None if all do.

        Where they share none, nothing that one was seen in was seen of the other.
        """
        has = torch.zeros(self.size, len(self.graph.modalities))
        for column, modality in enumerate(self.graph.modalities):
            has[list(self.rows.get(modality, ())), column] = 1
        shared = has @ has.T > 0
        return None if bool(shared.all()) else shared.to(device)


def common(*rows: Rows) -> Rows:
    """The places that all of `rows` have."""
    first, *others = rows
    return tuple(sorted(set(first).intersection(*others))) if others else first


def take(values: Tensor, have: Rows, want: Rows, dim: int = 0) -> Tensor:
    """Of `values` of the samples `have`, those of the samples `want`, which are among them.

    Where all are wanted, it is `values` itself.
    """
    if have == want:
        return values
    place = {row: i for i, row in enumerate(have)}
    index = torch.tensor([place[row] for row in want], device=values.device, dtype=torch.long)
    return values.index_select(dim, index)
