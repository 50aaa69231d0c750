"""Recovery by a GAN instead of CMFT's losses, for comparison (paper, Table VI).

The generator is the CMFT itself; what changes is what teaches it. A discriminator of each target
modality tells recovered from real, given the source that it was recovered from (as pix2pix does),
either on images or on pooled features. Its loss takes the place of L_rec or L_sim.

Both sides are trained by one minimization: the discriminator sees what is recovered through a
reversed gradient (Ganin and Lempitsky, 2015), so the CMFT learns to deceive it in the same step,
and a run needs neither a second optimizer nor a second state to resume.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from denet.cmft import IMAGE_CHANNELS, PATCH
from denet.directions import Direction
from denet.graph import Edge, Modality

Adversary = Literal["none", "image", "feature"]

WIDTH = 64
"""Channels of the image discriminator's hidden layers."""


class Discriminators(nn.Module):
    """One discriminator for each target modality.

    Args:
        kind: "image" judges positions of the space-to-depth grid (patches of 4x4 pixels, and
            what three 3x3 convolutions see around them), "feature" pooled features.
        channels: C of the features.
        modalities: what can be recovered.
    """

    def __init__(
        self, kind: Literal["image", "feature"], channels: int, modalities: Iterable[Modality]
    ) -> None:
        super().__init__()
        self.kind = kind
        grid = IMAGE_CHANNELS * PATCH**2
        self.judges = nn.ModuleDict(
            {
                m: _on_grids(2 * grid) if kind == "image" else _on_vectors(2 * channels)
                for m in modalities
            }
        )

    def forward(self, pairs: Mapping[Edge, Direction], like: Tensor) -> Tensor:
        """The mean binary cross-entropy over all directions, of real and of recovered alike.

        Its gradient improves the discriminators, and through the reversal the CMFTs.

        Args:
            pairs: the directions, of the samples that have both ends.
            like: what zero is like, if there is no direction.
        """
        terms = []
        for (_, target), pair in pairs.items():
            if self.kind == "image":
                given, real, fake = pair.given_grid, pair.real_grid, pair.made_grid
            else:
                given, real, fake = pair.given.detach(), pair.real.detach(), pair.made
            judge = self.judges[target]
            for sample, truth in ((real, 1.0), (_Reversed.apply(fake), 0.0)):
                said = judge(torch.cat([given, sample], dim=1))
                terms.append(
                    functional.binary_cross_entropy_with_logits(said, torch.full_like(said, truth))
                )
        return torch.stack(terms).mean() if terms else like.new_zeros(())


class _Reversed(torch.autograd.Function):
    """The identity, whose gradient has the other sign."""

    @staticmethod
    def forward(_: Any, value: Tensor) -> Tensor:
        return value.view_as(value)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return -gradient


def _on_grids(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, WIDTH, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(WIDTH, WIDTH, 3, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(WIDTH, 1, 3, padding=1),
    )


def _on_vectors(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(channels, channels // 4), nn.LeakyReLU(0.2), nn.Linear(channels // 4, 1)
    )
