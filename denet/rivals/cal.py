"""CAL: counterfactual attention (Rao, Chen, Lu and Zhou, ICCV 2021).

A 1x1 convolution makes M = 8 attention maps A of the backbone's feature map X; each pools the map,

    f = normalize(signed_sqrt([GAP(A_1 * X), ..., GAP(A_M * X)])),

and a linear layer brings f back to C numbers, which the classifier sees behind a BN neck. What the
attention itself is worth is its effect on the prediction: Y(A, X) less Y(A', X), where A' is drawn
uniformly from (0, 2) in its place. The loss is

    L = CE(Y(A, X)) + CE(Y(A, X) - Y(A', X)) + L_tri,

the last on the C numbers, which are also what is compared. Left out: the squeeze-and-excitation,
split attention and norms that the published code adds between the stages of its ResNet, of which
the paper says nothing, and the mirrored second pass at test.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from denet.rivals.heads import HardTriplet, NeckClassifier, smoothed
from denet.rivals.rival import Setting, SingleModality

MAPS = 8


def attention_pooled(feature: Tensor, attention: Tensor) -> Tensor:
    """f of feature (B, C, h, w) and attention (B, M, h, w): (B, MC)."""
    pooled = torch.einsum("bmhw,bchw->bmc", attention, feature) / feature[0, 0].numel()
    rooted = pooled.sign() * (pooled.abs() + 1e-12).sqrt()
    return functional.normalize(rooted.flatten(1))


class CAL(SingleModality):
    """The network for one modality."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.backbone = setting.backbone()
        self.dim = channels = self.backbone.channels
        self.attention = nn.Sequential(
            nn.Conv2d(channels, MAPS, 1, bias=False), nn.BatchNorm2d(MAPS), nn.ReLU()
        )
        self.reduce = nn.Linear(MAPS * channels, channels, bias=False)
        self.head = NeckClassifier(channels, setting.identities)
        self.triplet = HardTriplet(setting.train.margin)
        self.smoothing = setting.train.smoothing

    def feature(self, image: Tensor) -> Tensor:
        x = self.backbone(image)
        reduced: Tensor = self.reduce(attention_pooled(x, self.attention(x)))
        return reduced

    def loss(self, image: Tensor, labels: Tensor) -> Tensor:
        x = self.backbone(image)
        attention = self.attention(x)
        feature = self.reduce(attention_pooled(x, attention))
        random = torch.rand_like(attention) * 2
        logits = self.head(feature)
        without = self.head(self.reduce(attention_pooled(x, random)))
        total: Tensor = (
            smoothed(logits, labels, self.smoothing)
            + smoothed(logits - without, labels, self.smoothing)
            + self.triplet(feature, labels)
        )
        return total
