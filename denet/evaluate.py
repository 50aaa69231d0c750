"""Retrieval accuracy in missing states, of whatever can embed: a checkpoint or a bundle.

Everything here takes an `Embed` function, so that a model in training and the engines of a
camera node are measured by the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from denet.data.records import DataError, Record
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

    Attributes:
        query: samples to search with.
        gallery: samples to search in.
        graph: of the modalities in whose states they are evaluated.
    """

    query: tuple[Record, ...]
    gallery: tuple[Record, ...]
    graph: Graph = RGB_NIR_TIR

    def seen_by(self, model: Graph) -> Split:
        """The same samples, for a model of the graph `model`: evaluated in what it and all of them
        have, which are the states that every sample can be in.

        Raises:
            DataError: they have no modality in common.
        """
        both = tuple(m for m in model.modalities if m in self.graph.modalities)
        if not both:
            raise DataError(
                f"the model takes {', '.join(model.modalities)}, the set has "
                f"{', '.join(self.graph.modalities)}: nothing can be evaluated"
            )
        lacking = self._lacking(model)
        whole = tuple(m for m in both if m not in lacking)
        if not whole:
            raise DataError(
                f"no modality is in all samples ({', '.join(lacking.values())}): every query and "
                "gallery item has to be in the state that is evaluated"
            )
        return replace(self, graph=Graph(whole))

    def left_out(self, model: Graph) -> str:
        """Which states of a model `seen_by` leaves out and why, in one line; "" for none."""
        lacking = self._lacking(model)
        if not lacking:
            return ""
        return f"states with {' or '.join(lacking)} are left out: {', '.join(lacking.values())}"

    def _lacking(self, model: Graph) -> dict[Modality, str]:
        """The modalities of a model that not all samples have, and how many lack each."""
        records = self.query if self.query == self.gallery else (*self.query, *self.gallery)
        counts = {m: sum(m not in r.images for r in records) for m in model.modalities}
        return {m: f"{n} of {len(records)} samples have no {m}" for m, n in counts.items() if n}

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

    def require(self, state: State) -> None:
        """See that every record can be embedded in `state`.

        Raises:
            DataError: one lacks a modality; names it.
        """
        for record in (*self.query, *self.gallery):
            if not set(state.available) <= set(record.images):
                raise DataError(
                    f"{record.name}: has no image of "
                    f"{', '.join(m for m in state.available if m not in record.images)}, so the "
                    f"set cannot be evaluated in state {state}"
                )


def evaluate_states(
    embed: Embed, split: Split, states: Sequence[State] | None = None
) -> dict[State, Ranking]:
    """mAP and CMC where query and gallery are in one missing state, for each of `states`.

    Args:
        embed: what embeds.
        split: query and gallery.
        states: by default all of the split's graph.

    Raises:
        DataError: a record lacks a modality of a state.
    """
    results: dict[State, Ranking] = {}
    for state in split.graph.states if states is None else states:
        split.require(state)
        everyone = [state] * len(split.query), [state] * len(split.gallery)
        results[state] = split.rank(*split.embed(embed, *everyone))
    return results


def state_matrix(embed: Embed, split: Split) -> dict[tuple[State, State], Ranking]:
    """mAP and CMC for each state of the query (first) against each state of the gallery.

    Raises:
        DataError: a record lacks a modality of a state.
    """
    states = split.graph.states
    queries: dict[State, NDArray[np.float32]] = {}
    gallery: dict[State, NDArray[np.float32]] = {}
    for state in states:
        split.require(state)
        everyone = [state] * len(split.query), [state] * len(split.gallery)
        queries[state], gallery[state] = split.embed(embed, *everyone)
    return {(q, g): split.rank(queries[q], gallery[g]) for q in states for g in states}


def evaluate_rates(
    embed: Embed, split: Split, rates: Sequence[float], seed: int
) -> dict[float, Ranking]:
    """mAP and CMC at each missing rate; query and gallery lose modalities alike.

    Raises:
        DataError: a record is not complete.
    """
    split.require(split.graph.complete)
    results: dict[float, Ranking] = {}
    for rate in rates:
        query_states = draw_states(split.graph, len(split.query), rate, seed)
        gallery_states = (
            query_states
            if split.query == split.gallery
            else draw_states(split.graph, len(split.gallery), rate, seed + 1)
        )
        results[rate] = split.rank(*split.embed(embed, query_states, gallery_states))
    return results


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
