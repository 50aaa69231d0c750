"""Retrieval accuracy in missing states, of whatever can embed: a checkpoint or a bundle.

Everything here takes an `Embed` function, so that a model in training and the engines of a
camera node are measured by the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from denet.data.records import DataError, Record, unmatched
from denet.errors import DenetError
from denet.graph import RGB_NIR_TIR, Graph, Modality, State
from denet.metrics import Ranking, rank
from denet.missing import draw_states

RANKS = (1, 5, 10)

Embed = Callable[[Sequence[Record], Sequence[State]], NDArray[np.float32]]
"""(records, the state to embed each in) -> L2-normalized embeddings (N, D)."""


class RateError(DenetError):
    """What was written is no range of missing rates."""


@dataclass(frozen=True)
class Split:
    """A query set and its gallery; where they are the same records, they are embedded once.

    Samples may lack modalities, and those of the gallery may have others than those of the queries.

    Attributes:
        query: samples to search with.
        gallery: samples to search in.
        graph: of the modalities in whose states they are evaluated.
    """

    query: tuple[Record, ...]
    gallery: tuple[Record, ...]
    graph: Graph = RGB_NIR_TIR

    def seen_by(self, model: Graph) -> Split:
        """The same samples for a model of the graph `model`: evaluated in what it and some of them
        have; those that have nothing of it are left aside.

        Raises:
            DataError: queries or gallery have no modality of the model.
        """
        both = tuple(m for m in model.modalities if m in self.graph.modalities)
        there = {m for m in both for r in (*self.query, *self.gallery) if m in r.images}
        if not self.query and not self.gallery:
            there = set(both)
        graph = tuple(m for m in both if m in there)
        if not graph:
            raise DataError(
                f"the model takes {', '.join(model.modalities)}, the set has "
                f"{', '.join(self.graph.modalities)}: nothing can be evaluated"
            )
        query, gallery = (_some(side, graph) for side in (self.query, self.gallery))
        for name, side, left in (
            ("query", self.query, query),
            ("gallery item", self.gallery, gallery),
        ):
            if side and not left:
                raise DataError(
                    f"no {name} has {' or '.join(model.modalities)}, which the model takes: "
                    "nothing can be evaluated"
                )
        return Split(query, gallery, Graph(graph))

    def within(self, query: State, gallery: State | None = None) -> Split:
        """Those queries that can be in the state `query`, and what of the gallery can be in
        `gallery`, which is by default the same."""
        mine, theirs = (
            tuple(r for r in side if set(state.available) <= set(r.images))
            for side, state in ((self.query, query), (self.gallery, gallery or query))
        )
        if (mine, theirs) == (self.query, self.gallery):
            return self
        return replace(self, query=mine, gallery=theirs)

    def supports(self, query: State, gallery: State | None = None) -> bool:
        """Whether a query that can be in the state `query` has a match that can be in `gallery`."""
        split = self.within(query, gallery)
        return len(unmatched(split.query, split.gallery)) < len(split.query)

    @property
    def supported(self) -> tuple[State, ...]:
        """The states in which both sides can be."""
        return tuple(state for state in self.graph.states if self.supports(state))

    @property
    def has_gaps(self) -> bool:
        """Whether a sample lacks a modality of the graph."""
        return any(r.missing(self.graph) for r in (*self.query, *self.gallery))

    def own_states(self, records: Sequence[Record]) -> list[State]:
        """The state that each record is in."""
        return [self.graph.state(set(self.graph.modalities) & set(r.images)) for r in records]

    def left_out(self, model: Graph) -> str:
        """Which states of a model are left out and why, and which are of a part of the samples, in
        one line; "" if all are of all."""
        records = self.query if self.query == self.gallery else (*self.query, *self.gallery)
        counts = {m: sum(m not in r.images for r in records) for m in model.modalities}
        said = []
        if gone := [m for m, count in counts.items() if count == len(records)]:
            none = ", ".join(f"{counts[m]} of {len(records)} samples have no {m}" for m in gone)
            said.append(f"states with {' or '.join(gone)} are left out: {none}")
        split = self.seen_by(model)
        supported = split.supported
        if out := [s.name for s in split.graph.states if s not in supported]:
            said.append(
                f"{', '.join(out)} {'is' if len(out) == 1 else 'are'} left out: no query that can "
                "be in such a state has a match that can"
            )
        partly = []
        for state in supported:
            part = split.within(state)
            if part is not split or len(split.query) < len(self.query):
                partly.append(f"{state} {_share(part, self)}")
        if partly:
            said.append(f"of the samples that can be in a state: {', '.join(partly)}")
        return "; ".join(said)

    def rank(self, queries: NDArray[np.float32], gallery: NDArray[np.float32]) -> Ranking:
        """Score embeddings of the query set against embeddings of the gallery."""
        return rank(
            queries,
            gallery,
            np.array([r.identity for r in self.query]),
            np.array([r.identity for r in self.gallery]),
            np.array([r.camera for r in self.query]),
            np.array([r.camera for r in self.gallery]),
        )

    def embed(
        self, embed: Embed, query_states: Sequence[State], gallery_states: Sequence[State]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The embeddings of both sides, each record in its given state."""
        queries = embed(self.query, query_states)
        if self.query == self.gallery and list(query_states) == list(gallery_states):
            return queries, queries
        return queries, embed(self.gallery, gallery_states)


def _some(records: tuple[Record, ...], modalities: Sequence[Modality]) -> tuple[Record, ...]:
    return tuple(r for r in records if any(m in r.images for m in modalities))


def _share(part: Split, whole: Split) -> str:
    """How much of both sides is left, as "12 of 20 queries in 30 of 40"."""
    queries = f"{len(part.query)} of {len(whole.query)}"
    if whole.query == whole.gallery:
        return queries
    return f"{queries} queries in {len(part.gallery)} of {len(whole.gallery)}"


def evaluate_states(
    embed: Embed, split: Split, states: Sequence[State] | None = None
) -> dict[State, Ranking]:
    """mAP and CMC where query and gallery are in one missing state, for each of `states`, of the
    samples that can be in it.

    Args:
        embed: what embeds.
        split: query and gallery.
        states: by default all that the split supports.

    Raises:
        DataError: no query that can be in one of `states` has a match that can.
    """
    results: dict[State, Ranking] = {}
    for state in split.supported if states is None else states:
        if not split.supports(state):
            raise DataError(f"no query has a match in state {state}: not enough samples have it")
        part = split.within(state)
        everyone = [state] * len(part.query), [state] * len(part.gallery)
        results[state] = part.rank(*part.embed(embed, *everyone))
    return results


def evaluate_own(embed: Embed, split: Split) -> Ranking:
    """mAP and CMC where each sample is in the state that it is in."""
    states = split.own_states(split.query), split.own_states(split.gallery)
    return split.rank(*split.embed(embed, *states))


def state_matrix(embed: Embed, split: Split) -> dict[tuple[State, State], Ranking]:
    """mAP and CMC for each state of the query (first) against each state of the gallery that the
    split supports, of the samples that can be in them."""
    states = split.graph.states
    queries: dict[State, NDArray[np.float32]] = {}
    gallery: dict[State, NDArray[np.float32]] = {}
    for state in states:
        part = split.within(state)
        everyone = [state] * len(part.query), [state] * len(part.gallery)
        if part.query and part.gallery:
            queries[state], gallery[state] = part.embed(embed, *everyone)
        elif part.query:
            queries[state] = embed(part.query, everyone[0])
        elif part.gallery:
            gallery[state] = embed(part.gallery, everyone[1])
    return {
        (q, g): split.within(q, g).rank(queries[q], gallery[g])
        for q in states
        for g in states
        if split.supports(q, g)
    }


def evaluate_rates(
    embed: Embed, split: Split, rates: Sequence[float], seed: int
) -> dict[float, Ranking]:
    """mAP and CMC at each missing rate; query and gallery lose modalities alike.

    A sample that lacks modalities loses of those that it has what is drawn for it, and stays as it
    is where that would leave nothing.
    """
    results: dict[float, Ranking] = {}
    for rate in rates:
        query_states = _drawn(split, split.query, rate, seed)
        gallery_states = (
            query_states
            if split.query == split.gallery
            else _drawn(split, split.gallery, rate, seed + 1)
        )
        results[rate] = split.rank(*split.embed(embed, query_states, gallery_states))
    return results


def _drawn(split: Split, records: Sequence[Record], rate: float, seed: int) -> list[State]:
    drawn = draw_states(split.graph, len(records), rate, seed)
    left = []
    for state, own in zip(drawn, split.own_states(records), strict=True):
        both = set(state.available) & set(own.available)
        left.append(split.graph.state(both) if both else own)
    return left


def parse_rates(text: str) -> list[float]:
    """Missing rates from "0:1:0.1" (from, to, step), or one rate from "0.5".

    Raises:
        RateError: the text is neither, or a rate is not in 0..1.
    """
    try:
        numbers = [float(part) for part in text.split(":")]
        if len(numbers) == 3:
            low, high, step = numbers
            numbers = [low + i * step for i in range(int((high - low) / step + 1e-9) + 1)]
        elif len(numbers) != 1:
            raise ValueError
    except (ValueError, ZeroDivisionError, OverflowError):
        raise RateError(f"missing rate {text!r}: write 0:1:0.1 (from:to:step) or 0.5") from None
    if not numbers or not all(0 <= rate <= 1 for rate in numbers):
        raise RateError(f"missing rate {text!r}: rates are shares from 0 to 1")
    return [round(rate, 6) for rate in numbers]
