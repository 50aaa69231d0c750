"""HC loss: hetero-centre loss for cross-modality search (Zhu et al., Neurocomputing 2020).

A stream for each modality, without shared weights, makes a feature map, which is pooled in P = 6
horizontal stripes; a linear layer and a norm for each stripe, shared by the modalities, bring all
of them into one space of 512 numbers. Each stripe has a classifier that is shared as well
(LeakyReLU 0.1, dropout 0.5, linear), and, L2-normalized, the squared distance of the centres of an
identity in two modalities:

    L_HC = sum_identities || c_(i,1) - c_(i,2) ||^2,     L = sum_stripes (L_CE + lambda L_HC),

lambda = 0.5. What is compared are the normalized stripes side by side. Read from the paper and its
published code. It has two modalities; here L_HC is the mean over all pairs of them. Left out: its
learning rate of a tenth for the streams.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn import functional

from denet.graph import Modality
from denet.rivals.heads import centres, classifier, smoothed
from denet.rivals.rival import OneSpace, Setting

STRIPES = 6
WIDTH = 512
LAMBDA = 0.5
SLOPE, DROPOUT = 0.1, 0.5


def hetero_centre(one: Tensor, other: Tensor, labels: Tensor) -> Tensor:
    """The sum over identities of the squared distance of their centres in two modalities.

    Args:
        one: (B, D) in one modality.
        other: (B, D) in the other.
        labels: (B,) of both.
    """
    apart = centres(one, labels)[0] - centres(other, labels)[0]
    return apart.square().sum()


class HCLoss(OneSpace):
    """The network."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.streams = nn.ModuleDict({m: setting.backbone(m) for m in self.modalities})
        channels = self.streams[self.modalities[0]].channels
        assert isinstance(channels, int)
        self.project = nn.ModuleList(
            nn.Sequential(nn.Linear(channels, WIDTH), nn.BatchNorm1d(WIDTH)) for _ in range(STRIPES)
        )
        self.classifiers = nn.ModuleList(
            nn.Sequential(
                nn.LeakyReLU(SLOPE),
                nn.Dropout(DROPOUT),
                classifier(WIDTH, setting.identities, bias=True),
            )
            for _ in range(STRIPES)
        )
        self.dim = STRIPES * WIDTH

    def stripes(self, images: Mapping[Modality, Tensor]) -> dict[Modality, list[Tensor]]:
        """(B, 512) of each stripe, by modality; all modalities are normalized as one batch."""
        pooled = torch.cat(
            [
                functional.adaptive_avg_pool2d(self.streams[m](image), (STRIPES, 1)).flatten(2)
                for m, image in images.items()
            ]
        )
        projected = [project(pooled[:, :, i]) for i, project in enumerate(self.project)]
        parts = [each.chunk(len(images)) for each in projected]
        return {m: [part[i] for part in parts] for i, m in enumerate(images)}

    def feature(self, image: Tensor, modality: Modality) -> Tensor:
        parts = self.stripes({modality: image})[modality]
        return torch.cat([functional.normalize(part) for part in parts], dim=1)

    def losses(self, images: Mapping[Modality, Tensor], labels: Tensor) -> tuple[Tensor, Tensor]:
        """The sums over stripes of L_CE and of L_HC; arguments as `loss`."""
        stripes = self.stripes(images)
        every = labels.repeat(len(images))
        identity = apart = labels.new_zeros((), dtype=torch.float32)
        for i, classify in enumerate(self.classifiers):
            parts = {m: found[i] for m, found in stripes.items()}
            identity = identity + smoothed(classify(torch.cat(list(parts.values()))), every)
            unit = {m: functional.normalize(part) for m, part in parts.items()}
            pairs = [hetero_centre(unit[a], unit[b], labels) for a, b in combinations(unit, 2)]
            if pairs:
                apart = apart + torch.stack(pairs).mean()
        return identity, apart

    def loss(self, images: Mapping[Modality, Tensor], labels: Tensor) -> Tensor:
        identity, apart = self.losses(images, labels)
        return identity + LAMBDA * apart
