"""HAMNet: heterogeneity-collaboration aware multi-stream network (Li et al., AAAI 2020).

Three streams without shared weights make feature maps F_m and, by a 1x1 convolution each, class
activation maps M_m = sigmoid(W_m F_m), one for each identity. Where they are strong decides how the
streams are fused: with S_m[c] the sum of M_m over places, and S[c] that of their maximum over the
streams,

    a_m[c] = S_m[c] / sum_k S_k[c],   w_m = sum_c S[c] / sum_c' S[c'] * a_m[c],
    f = sum_m w_m GAP(F_m),   the scores of the fusion  s[c] = S[c] / sum S * sum_m a_m[c] S_m[c].

The loss is cross-entropy and the triplet loss of each stream, whose classifier is one for all of
them, and of the fusion (scores s, vector f), and heterogeneity-score coherence, which wants all
streams to tell the same: 0.001 times the sum over the batch and over pairs of streams of one less
the cosine of their scores.

Read from the paper's abstract and its published code, which has the triplet loss of the fusion on
s; here it is on f, which is compared. The paper says nothing of missing modalities: a missing
stream gives zeros, and takes no part in the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn import functional

from denet.graph import Modality, State
from denet.rivals.heads import HardTriplet, classifier, smoothed
from denet.rivals.rival import Rival, Setting

COHERENCE = 1e-3


def fusion_weights(activations: Tensor) -> tuple[Tensor, Tensor]:
    """Weights w (B, M) of the streams, and the scores s (B, N) of the fusion.

    Args:
        activations: class activation maps (B, M, N, h, w) of M streams, in (0, 1).
    """
    strength = activations.sum(dim=(3, 4))  # S_m
    peak = activations.amax(dim=1).sum(dim=(2, 3))  # S
    share = peak / peak.sum(dim=1, keepdim=True)
    part = strength / strength.sum(dim=1, keepdim=True)  # a_m
    scores = share * (part * strength).sum(dim=1)
    return (share[:, None] * part).sum(dim=2), scores


def incoherence(scores: list[Tensor]) -> Tensor:
    """The sum over samples and pairs of streams of 1 - cosine of their scores (B, N)."""
    pairs = list(combinations(scores, 2))
    each = [(1 - functional.cosine_similarity(a, b)).sum() for a, b in pairs]
    return torch.stack(each).sum() if each else scores[0].new_zeros(())


class HAMNet(Rival):
    """The network."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.streams = nn.ModuleDict({m: setting.backbone(m) for m in self.modalities})
        channels = self.streams[self.modalities[0]].channels
        assert isinstance(channels, int)
        self.activations = nn.ModuleDict(
            {m: nn.Conv2d(channels, setting.identities, 1, bias=False) for m in self.modalities}
        )
        self.classifier = classifier(channels, setting.identities, bias=True)
        self.dim = channels
        self.triplet = HardTriplet(setting.train.margin)
        self.smoothing = setting.train.smoothing

    def fuse(self, maps: Mapping[Modality, Tensor]) -> tuple[Tensor, Tensor]:
        """Feature maps (B, C, h, w) of the available modalities -> f (B, C) and s (B, N)."""
        activations = torch.stack([self.activations[m](f).sigmoid() for m, f in maps.items()], 1)
        weights, scores = fusion_weights(activations)
        pooled = torch.stack([f.mean(dim=(2, 3)) for f in maps.values()], dim=1)
        return (weights[:, :, None] * pooled).sum(dim=1), scores

    def features(self, images: Mapping[Modality, Tensor], state: State) -> Tensor:
        return self.fuse({m: self.streams[m](images[m]) for m in state.available})[0]

    def loss(self, images: Mapping[Modality, Tensor], labels: Tensor) -> Tensor:
        maps = {m: self.streams[m](images[m]) for m in self.modalities}
        fused, fused_scores = self.fuse(maps)
        total: Tensor = smoothed(fused_scores, labels, self.smoothing) + self.triplet(fused, labels)
        scores = []
        for feature in maps.values():
            pooled = feature.mean(dim=(2, 3))
            scores.append(self.classifier(pooled))
            total = total + smoothed(scores[-1], labels, self.smoothing)
            total = total + self.triplet(pooled, labels)
        return total + COHERENCE * incoherence(scores)
