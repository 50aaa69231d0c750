"""How many training samples each loss will see, and whether they are enough.

Plain Python: nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import combinations

from denet.data.sample import DataError, Record
from denet.graph import Graph, Modality

LEAST_SAMPLES = 16
"""That a modality or a direction needs; of a set with fewer than 64, a quarter of them."""

LEAST_IDENTITIES = 2


@dataclass(frozen=True)
class Needs:
    """What the losses of a training ask of its samples.

    Attributes:
        directions: samples with both ends of each direction: L_rec, L_sim or an adversary have a
            weight.
        beside: complete samples: the loss on the branches side by side is the only one that a
            phase has.
    """

    directions: bool = True
    beside: bool = False


@dataclass(frozen=True)
class Support:
    """The samples that losses will see, of a model's modalities.

    Attributes:
        graph: of the model.
        records: those that have one of its modalities at least.
        total: how many there are, with those that have none.
    """

    graph: Graph
    records: tuple[Record, ...]
    total: int

    @classmethod
    def of(cls, records: Sequence[Record], graph: Graph) -> Support:
        """That of `records`."""
        return cls(graph, seen_by(records, graph), len(records))

    def having(self, modalities: Collection[Modality]) -> list[Record]:
        """The samples that have all of `modalities`."""
        return [r for r in self.records if all(m in r.images for m in modalities)]

    @property
    def complete(self) -> int:
        """How many samples lack nothing."""
        return len(self.having(self.graph.modalities))

    def lines(self) -> list[str]:
        """How many samples each loss will see, for a person; nothing if all see all."""
        if self.complete == self.total:
            return []
        graph = self.graph
        lines = [f"{self.complete} of {self.total} training samples are complete"]
        if gone := self.total - len(self.records):
            lines.append(f"{gone} have no {' or '.join(graph.modalities)} and are left out")
        lines.append(f"L_ReID sees {len(self.records)}, each in the state that it is in")
        lines.append(
            f"a branch sees {self._listed([(m,) for m in graph.modalities], ' ')}; "
            f"all of them side by side {self.complete}"
        )
        if graph.pairs:
            pairs = list(combinations(graph.modalities, 2))
            lines.append(f"L_rec and L_sim see {self._listed(pairs, ' and ')}, either way")
            states = [state.available for state in graph.states]
            lines.append(f"the loss on states sees {self._listed(states, '+')}")
        return lines

    def faults(self, needs: Needs) -> list[str]:
        """Which modalities and directions have too few samples, and what to do; one line each."""
        if not self.records:
            return [f"no training sample has {' or '.join(self.graph.modalities)}"]
        seen = [m for record in self.records for m in record.images]
        if len(self.records) > 1 and len(seen) == len(set(seen)):
            return [
                f"no two of the {len(self.records)} training samples share a modality: nothing can "
                "be compared: add images"
            ]
        few = [m for m in self.graph.modalities if self._too_few([m])]
        kept = [m for m in self.graph.modalities if m not in few]
        instead = f", or train with --modalities {','.join(kept)}" if kept else ""
        faults = [
            f"no training sample has {m}, which a model of {', '.join(self.graph.modalities)} "
            f"needs: add the images{instead}"
            if not self.having([m])
            else f"too few training samples have {m}: {self._count([m])}: add images{instead}"
            for m in few
        ]
        if needs.directions:
            faults += [
                f"too few training samples have both {s} and {t}: {self._count([s, t])}: what is "
                f"recovered in the directions {s} to {t} and {t} to {s} is learned from these: add "
                f"images{self._without(s, t)}"
                for s, t in combinations(kept, 2)
                if self._too_few([s, t])
            ]
        whole = self.graph.modalities
        if needs.beside and not few and self._too_few(whole):
            faults.append(
                f"too few training samples have {', '.join(whole)}: {self._count(whole)}: the "
                "branches are trained by `plain` alone, which sees no others: give `branch` a "
                "weight"
            )
        return faults

    def check(self, needs: Needs) -> None:
        """See that there are enough samples.

        Raises:
            DataError: a modality or a direction has too few; names the first.
        """
        if faults := self.faults(needs):
            raise DataError(faults[0])

    def _too_few(self, modalities: Collection[Modality]) -> bool:
        found = self.having(modalities)
        least = min(LEAST_SAMPLES, -(-self.total // 4))
        return len(found) < least or len({r.identity for r in found}) < min(
            LEAST_IDENTITIES, len({r.identity for r in self.records})
        )

    def _count(self, modalities: Collection[Modality]) -> str:
        found = self.having(modalities)
        return f"{len(found)} of {self.total}, of {len({r.identity for r in found})} identities"

    def _without(self, source: Modality, target: Modality) -> str:
        rest = [",".join(m for m in self.graph.modalities if m != out) for out in (target, source)]
        return f", or train with --modalities {' or '.join(rest)}"

    def _listed(self, of: Sequence[Sequence[Modality]], joint: str) -> str:
        return ", ".join(f"{joint.join(each)} {len(self.having(each))}" for each in of)


def seen_by(records: Sequence[Record], graph: Graph) -> tuple[Record, ...]:
    """The records as a model of `graph` sees them: with its modalities alone, and without those
    that have none of them."""
    seen = []
    for record in records:
        if available := [m for m in graph.modalities if m in record.images]:
            seen.append(record.within(graph.state(available)))
    return tuple(seen)
