"""What a choice of forms does to the ranking, on samples that it was not made from."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.replay import Key, Replay, ReplayEngines, all_in
from calibration.samples import ChosenSamples
from denet.evaluate import Split
from denet.graph import State
from denet.metrics import Ranking
from runtime.bundle.forms import Forms
from runtime.head import Head

NEAREST = 10
"""Of a query, whose overlap is measured."""

RESAMPLES = 1000
"""Of the bootstrap."""

_REAL = object()

Embeddings = NDArray[np.float32]


@dataclass(frozen=True)
class Effect:
    """How one missing state fares under a choice of forms, compared with FP32.

    Attributes:
        cosine: mean cosine of an embedding to that of FP32.
        worst: the first percentile of these cosines.
        overlap: mean share of FP32's ten nearest that are still among the ten nearest.
        map_fp32: mAP of FP32, in per cent; None without labels, as all that follows.
        map: mAP of the choice.
        change: their difference in points.
        interval: the 95 % interval of it, by a bootstrap over identities, query by query.
        to_fp32: mAP of the choice's queries in FP32's gallery.
        from_fp32: mAP of FP32's queries in the choice's gallery.
    """

    cosine: float
    worst: float
    overlap: float
    map_fp32: float | None = None
    map: float | None = None
    change: float | None = None
    interval: tuple[float, float] | None = None
    to_fp32: float | None = None
    from_fp32: float | None = None

    def loss(self) -> float:
        """What a budget limits: mAP points lost, or one minus the cosine without labels."""
        return 1 - self.cosine if self.change is None else -self.change


Effects = dict[State, Effect]


class Judge:
    """Judges choices of forms on one set of samples.

    Args:
        engines: in all forms that will be asked for.
        head: from parts to embedding.
        samples: complete in their state.
        labelled: whether to rank them.
        batch: samples at once.
        seed: of the bootstrap.
    """

    def __init__(
        self,
        engines: ReplayEngines,
        head: Head,
        samples: ChosenSamples,
        *,
        labelled: bool,
        batch: int,
        seed: int,
    ) -> None:
        self._engines = engines
        self._head = head
        self._samples = samples
        self._batch = batch
        self._seed = seed
        self._split = Split(samples.records, samples.records) if labelled else None
        self._real: dict[State, tuple[Embeddings, Ranking | None]] = {}

    def judge(
        self, choices: Mapping[Any, Forms], notify: Callable[[int], None] = lambda _: None
    ) -> dict[Any, Effects]:
        """The effects of each choice in every state that the samples can be in.

        Args:
            choices: by name. What they share is computed once.
            notify: told of so many samples more.
        """
        real = all_in(self._engines.graph, "fp32")
        wanted = {_REAL: real, **choices} if not self._real else dict(choices)
        parts: dict[Key, list[NDArray[np.float32]]] = {}
        made: dict[tuple[Hashable, State], list[Key]] = {}
        for images in self._samples.batches(self._batch):
            replay = Replay(self._engines, images)
            fresh: dict[Key, NDArray[np.float32]] = {}
            for name, forms in wanted.items():
                for state in self._samples.states:
                    found = replay.parts(state, forms)
                    made[name, state] = [key for key, _ in found]
                    fresh.update(found)
            for key, array in fresh.items():
                parts.setdefault(key, []).append(array)
            notify(len(images[self._samples.state.anchor]))
        whole = {key: np.concatenate(arrays) for key, arrays in parts.items()}

        def embedded(name: Hashable, state: State) -> Embeddings:
            return self._head(np.stack([whole[key] for key in made[name, state]], axis=1))

        for state in self._samples.states:
            if state not in self._real:
                embeddings = embedded(_REAL, state)
                ranking = self._split.rank(embeddings, embeddings) if self._split else None
                self._real[state] = embeddings, ranking
        unchanged = {state: made.get((_REAL, state)) for state in self._samples.states}
        results: dict[Hashable, Effects] = {}
        for name in choices:
            results[name] = {
                state: self._same(state)
                if made[name, state] == unchanged[state]
                else self._effect(state, embedded(name, state))
                for state in self._samples.states
            }
        return results

    def _same(self, state: State) -> Effect:
        """Of a choice that a state does not notice: none of its engines is in another form."""
        ranking = self._real[state][1]
        if ranking is None:
            return Effect(1.0, 1.0, 1.0)
        ap = ranking.map
        return Effect(1.0, 1.0, 1.0, ap, ap, 0.0, (0.0, 0.0), ap, ap)

    def _effect(self, state: State, embeddings: Embeddings) -> Effect:
        real, ranking = self._real[state]
        cosines = np.sum(embeddings * real, axis=1, dtype=np.float64)
        alone = (
            float(cosines.mean()),
            float(np.percentile(cosines, 1)),
            overlap(real, embeddings, NEAREST),
        )
        if ranking is None or self._split is None:
            return Effect(*alone)
        mine = self._split.rank(embeddings, embeddings)
        identities = np.array([r.identity for r in self._samples.records])
        change, interval = paired_change(
            ranking.average_precision, mine.average_precision, identities, self._seed
        )
        return Effect(
            *alone,
            ranking.map,
            mine.map,
            change,
            interval,
            self._split.rank(embeddings, real).map,
            self._split.rank(real, embeddings).map,
        )


def overlap(before: Embeddings, after: Embeddings, count: int) -> float:
    """Mean share of a sample's `count` nearest others that are the same before and after."""
    count = min(count, len(before) - 1)
    nearest = []
    for embeddings in (before, after):
        similarity = embeddings @ embeddings.T
        np.fill_diagonal(similarity, -np.inf)
        nearest.append(np.argsort(-similarity, axis=1, kind="stable")[:, :count])
    return float(np.mean([len(set(a) & set(b)) / count for a, b in zip(*nearest, strict=True)]))


def paired_change(
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    identities: NDArray[np.intp],
    seed: int,
) -> tuple[float, tuple[float, float]]:
    """The change of mAP in points, and its 95 % interval.

    Queries are compared each with itself, so what makes some of them hard drops out. Those of an
    identity fare alike, so the bootstrap draws identities, not queries.

    Args:
        before: (Q,) average precisions in [0, 1]; NaN for queries that do not count.
        after: likewise.
        identities: (Q,) of the queries.
        seed: of the bootstrap.
    """
    counted = np.isfinite(before) & np.isfinite(after)
    difference = 100 * (after - before)[counted]
    _, group = np.unique(identities[counted], return_inverse=True)
    sums, sizes = np.bincount(group, difference), np.bincount(group)
    drawn = np.random.default_rng(seed).integers(0, len(sums), (RESAMPLES, len(sums)))
    means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(difference.mean()), (float(low), float(high))


def worst(effects: Effects) -> tuple[State, float]:
    """The state that loses most, and what it loses."""
    state = max(effects, key=lambda s: effects[s].loss())
    return state, effects[state].loss()
