"""What is recovered in each direction, beside what is real, of the samples that have both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from denet.branch import BranchOutput
from denet.cmft import CmftOutput, to_grid
from denet.graph import Edge, Modality
from denet.presence import Presence, take


class Direction(NamedTuple):
    """One direction, of the n samples that have its source and its target."""

    given: Tensor  # (n, C), the pooled feature of the source
    real: Tensor  # (n, C), that of the target
    made: Tensor  # (n, C), that which is recovered
    given_grid: Tensor  # (n, 48, H/4, W/4), the image of the source in space-to-depth form
    real_grid: Tensor  # that of the target
    made_grid: Tensor  # that which is recovered


def paired(
    branches: Mapping[Modality, BranchOutput],
    recovered: Mapping[Edge, CmftOutput],
    images: Mapping[Modality, Tensor],
    presence: Presence,
) -> dict[Edge, Direction]:
    """The directions that some samples of a batch have both ends of.

    Args:
        branches: of the samples that have each modality.
        recovered: of the samples that have each source.
        images: (n, 3, H, W) of the samples that have each modality.
        presence: which samples these are.
    """
    pairs: dict[Edge, Direction] = {}
    for (source, target), made in recovered.items():
        sources, targets = presence.having([source]), presence.having([target])
        both = presence.having([source, target])
        if both:
            pairs[source, target] = Direction(
                take(branches[source].pooled, sources, both),
                take(branches[target].pooled, targets, both),
                take(made.pooled, sources, both),
                to_grid(take(images[source], sources, both)),
                to_grid(take(images[target], targets, both)),
                take(made.grid, sources, both),
            )
    return pairs
