"""Everything that can be measured of one model on one test set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from denet.data.records import Record
from denet.embedding_cache import EmbeddingCache
from denet.evaluate import (
    Embed,
    Split,
    evaluate_own,
    evaluate_rates,
    evaluate_states,
    state_matrix,
)
from denet.graph import Edge, State
from denet.metrics import Ranking
from denet.progress import Whole, counted
from denet.recovery import Recovery, check_recovery
from denet.subject import Subject
from denet.tables import ranking_facts, recovery_facts
from denet.testset import all_samples

RATES = "0:1:0.1"
"""The missing rates where a curve is drawn and none are asked for, as `parse_rates` reads them."""


@dataclass(frozen=True)
class Examination:
    """What was measured; what was not asked for is empty.

    Attributes:
        split: what it was measured on, with the modalities that the model has, too.
        embed: what embedded, with all that it made, for the figures.
        states: accuracy in every state that the split supports.
        own: accuracy where each sample is in the state that it is in; None where that is complete.
        matrix: accuracy for each state of the query against each of the gallery, likewise.
        rates: accuracy at each missing rate.
        recovery: by direction, how similar recovered features are to real ones.
    """

    split: Split
    embed: Embed
    states: dict[State, Ranking]
    own: Ranking | None
    matrix: dict[tuple[State, State], Ranking]
    rates: dict[float, Ranking]
    recovery: dict[Edge, Recovery]

    def facts(self) -> dict[str, Any]:
        """The numbers, for a program."""
        return {
            "states": {s.name: ranking_facts(r) for s, r in self.states.items()},
            **({"as_it_is": ranking_facts(self.own)} if self.own else {}),
            "matrix": {f"{q} / {g}": ranking_facts(r) for (q, g), r in self.matrix.items()},
            "missing_rate": {str(rate): ranking_facts(r) for rate, r in self.rates.items()},
            "recovery": recovery_facts(self.recovery) if self.recovery else {},
        }


def examine(
    subject: Subject,
    split: Split,
    *,
    matrix: bool = False,
    rates: Sequence[float] = (),
    recovery: bool = False,
    seed: int = 0,
    batch: int = 32,
    workers: int = 0,
    notify: Whole = lambda *_: None,
) -> Examination:
    """Measure `subject` on a test set; each sample is embedded once in each state.

    Args:
        subject: the model.
        split: samples; evaluated in the states that they support.
        matrix: also each state against each state.
        rates: also these missing rates.
        recovery: also the recovered features.
        seed: of what is missing at a rate.
        batch: samples at once, for the recovered features.
        workers: processes that load images, likewise.
        notify: told how many images are embedded.

    Raises:
        SubjectError: `recovery` is asked of a bundle.
        DataError: an image cannot be read; or there is no modality that the model and some samples
            have.
        RecoveryError: `recovery` is asked on complete samples of a single identity, or none.
    """
    network = subject.network("comparing recovered features") if recovery else None
    split = split.seen_by(subject.graph)
    add = counted(notify, f"evaluating {subject.path.name}", _images(split, every_state=matrix))
    add(0)
    embed = _told(subject.embed, add)
    if matrix or rates:
        embed = EmbeddingCache(embed)
    pairs = state_matrix(embed, split) if matrix else {}
    return Examination(
        split=split,
        embed=embed,
        # The matrix's diagonal is the accuracy in each state.
        states=(
            {s: pairs[s, s] for s in split.supported} if pairs else evaluate_states(embed, split)
        ),
        own=evaluate_own(embed, split) if split.has_gaps else None,
        matrix=pairs,
        rates=evaluate_rates(embed, split, rates, seed),
        recovery=check_recovery(network, all_samples(split), batch=batch, workers=workers)
        if network is not None
        else {},
    )


def _told(embed: Embed, add: Callable[[int], None]) -> Embed:
    """`embed`, which tells how many images it has embedded."""

    def run(records: Sequence[Record], states: Sequence[State]) -> NDArray[np.float32]:
        made = embed(records, states)
        add(sum(len(state.available) for state in states))
        return made

    return run


def _images(split: Split, *, every_state: bool) -> int:
    """How many images `examine` embeds."""
    images = 0
    for state in split.graph.states if every_state else split.supported:
        part = split.within(state)
        once = part.query == part.gallery
        images += (len(part.query) + (0 if once else len(part.gallery))) * len(state.available)
    return images
