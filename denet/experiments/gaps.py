"""Trainings on data of which images are taken away: what of the accuracy is left."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from denet.data.records import DataSet, Record, complete
from denet.experiments.variants import DENET, TrainingVariant
from denet.graph import Graph

SHARES = (0.1, 0.3, 0.5)
"""Of the training images, that are taken away."""


@dataclass(frozen=True)
class GapVariant(TrainingVariant):
    """A row for a set with gaps.

    Attributes:
        share: of the training images, that are taken away.
        whole: train on the samples that are complete nevertheless, and on no others.
        repeated: take these as often as makes as many samples as there were, so that an epoch has
            as many steps.
    """

    share: float = 0.0
    whole: bool = False
    repeated: bool = False

    def training(self, data: DataSet, graph: Graph, seed: int) -> DataSet:
        """The set without these images; with equal seeds, a greater share takes the same and more.

        Only the training split is touched.
        """
        left = without_images(data.train, graph, self.share, seed)
        if self.whole:
            left = complete(left, graph)
        if self.repeated and left:
            left = tuple(left[i % len(left)] for i in range(len(data.train)))
        return replace(data, train=left)


def without_images(
    records: tuple[Record, ...], graph: Graph, share: float, seed: int
) -> tuple[Record, ...]:
    """The records without `share` of their images of the modalities of `graph`, drawn from `seed`;
    those that have none left are gone."""
    images = [(row, m) for row, r in enumerate(records) for m in graph.modalities if m in r.images]
    order = np.random.default_rng(seed).permutation(len(images))
    gone = {images[i] for i in order[: round(share * len(images))]}
    left = []
    for row, record in enumerate(records):
        kept = {m: ref for m, ref in record.images.items() if (row, m) not in gone}
        if any(m in kept for m in graph.modalities):
            left.append(replace(record, images=kept))
    return tuple(left)


def _named(share: float) -> str:
    return f"{share:.0%} of the images removed"


WHOLE = TrainingVariant(DENET.key, "nothing removed")


def _variants(
    key: str, label: str, *, whole: bool = False, repeated: bool = False
) -> tuple[GapVariant, ...]:
    """One for each share that is removed."""
    return tuple(
        GapVariant(
            f"gaps-{share:.0%}".rstrip("%") + key,
            f"{_named(share)}, {label}",
            share=share,
            whole=whole,
            repeated=repeated,
        )
        for share in SHARES
    )


THERE = _variants("", "all that is left")
ALONE = _variants("-complete", "complete samples alone", whole=True)
REPEATED = _variants(
    "-steps", "complete samples alone, in as many steps", whole=True, repeated=True
)
