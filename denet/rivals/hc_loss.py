"""HC loss: hetero-centre loss for cross-modality search (Zhu et al., Neurocomputing 2020).

A stream for each modality, without shared weights, makes a feature map, which is pooled in P = 6
horizontal stripes; one linear layer for each stripe, shared by the modalities, brings all of them
into one space of 512 numbers. Per stripe, the loss is cross-entropy, by a classifier that is shared
as well, and the squared distance of the centres of an identity in two modalities,

    L_HC = sum_identities || c_(i,1) - c_(i,2) ||^2,     L = sum_stripes (L_CE + lambda L_HC),

lambda = 0.5. What is compared are the stripes side by side. The paper has two modalities; here L_HC
is the mean over all pairs of them. Its sum over identities is a mean, and so are the sums over
stripes: a sum would change the meaning of lambda with the batch. Left out: nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from denet.graph import Modality
from denet.rivals.heads import centres, classifier, smoothed
from denet.rivals.rival import OneSpace, Setting

STRIPES = 6
WIDTH = 512
LAMBDA = 0.5


def hetero_centre(one: Tensor, other: Tensor, labels: Tensor) -> Tensor:
    """The mean over identities of the squared distance of their centres in two modalities.

    Args:
        one: (B, D) in one modality.
        other: (B, D) in the other.
        labels: (B,) of both.
    """
    apart = centres(one, labels)[0] - centres(other, labels)[0]
    return apart.square().sum(dim=1).mean()


class HCLoss(OneSpace):
    """The network."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.streams = nn.ModuleDict({m: setting.backbone() for m in self.modalities})
        channels = self.streams[self.modalities[0]].channels
        assert isinstance(channels, int)
        self.project = nn.ModuleList(
            nn.Sequential(nn.Linear(channels, WIDTH), nn.BatchNorm1d(WIDTH)) for _ in range(STRIPES)
        )
        self.classifiers = nn.ModuleList(
            classifier(WIDTH, setting.identities) for _ in range(STRIPES)
        )
        self.dim = STRIPES * WIDTH
        self.smoothing = setting.train.smoothing

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
        return torch.cat(self.stripes({modality: image})[modality], dim=1)

    def loss(self, images: Mapping[Modality, Tensor], labels: Tensor) -> Tensor:
        stripes = self.stripes(images)
        identity = [
            smoothed(classify(part), labels, self.smoothing)
            for parts in stripes.values()
            for classify, part in zip(self.classifiers, parts, strict=True)
        ]
        total = torch.stack(identity).mean()
        apart = [
            hetero_centre(one, other, labels)
            for s, t in self.graph.pairs
            if s < t
            for one, other in zip(stripes[s], stripes[t], strict=True)
        ]
        return total + LAMBDA * torch.stack(apart).mean() if apart else total
