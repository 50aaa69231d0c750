"""The losses that several rivals share: cross-entropy behind a BN neck, and the batch-hard triplet.

Each vector here is (B, D), labels are (B,).
"""

from __future__ import annotations

import torch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner
from torch import Tensor, nn
from torch.nn import functional


def classifier(features: int, identities: int, *, bias: bool = False) -> nn.Linear:
    """A linear classifier that starts near nothing, as is usual in re-ID."""
    layer = nn.Linear(features, identities, bias=bias)
    nn.init.normal_(layer.weight, std=0.001)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


class NeckClassifier(nn.Module):
    """Vectors -> logits (B, identities), behind a BN neck."""

    def __init__(self, features: int, identities: int) -> None:
        super().__init__()
        self.neck = nn.BatchNorm1d(features)
        self.classifier = classifier(features, identities)

    def forward(self, vectors: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.neck(vectors))
        return logits


class HardTriplet(nn.Module):
    """max(d(a, p) - d(a, n) + margin, 0) of the farthest p and the nearest n of each anchor, d the
    Euclidean distance (Hermans et al., 2017); the mean over those that are not 0."""

    def __init__(self, margin: float) -> None:
        super().__init__()
        distance = LpDistance(normalize_embeddings=False)
        self.miner = BatchHardMiner(distance=distance)
        self.triplet = TripletMarginLoss(margin=margin, distance=distance)

    def forward(self, vectors: Tensor, labels: Tensor) -> Tensor:
        loss: Tensor = self.triplet(vectors, labels, self.miner(vectors, labels))
        return loss


def smoothed(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy with smoothed labels."""
    return functional.cross_entropy(logits, labels, label_smoothing=smoothing)


def centres(vectors: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The mean vector of each identity, (I, D), and the place of each sample's identity, (B,)."""
    known, place = torch.unique(labels, return_inverse=True)
    member = functional.one_hot(place, len(known)).to(vectors.dtype)
    return (member.T @ vectors) / member.sum(dim=0)[:, None], place
