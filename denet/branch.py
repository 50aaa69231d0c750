"""A branch: backbone, then CBAM; one for each modality, with weights of its own (paper, III-A)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from denet.backbone import Backbone

GROUPS = 32
"""In which CBAM takes the mean and the maximum over channels, at most."""


class BranchOutput(NamedTuple):
    """What a branch makes of an image."""

    feature: Tensor  # (B, C, h, w)
    pooled: Tensor  # (B, C), the mean of `feature` over h and w


def global_average(feature: Tensor) -> Tensor:
    """GAP: (B, C, h, w) -> (B, C)."""
    return feature.mean(dim=(2, 3))


def over_channels(feature: Tensor) -> Tensor:
    """Mean and maximum of each place, (B, C, h, w) -> (B, 2, h, w).

    In two steps: ONNX Runtime takes 7 times as long for all channels of each place at once.
    """
    batch, channels, height, width = feature.shape
    groups = feature.reshape(batch, math.gcd(channels, GROUPS), -1, height, width)
    return torch.stack([groups.mean(dim=2).mean(dim=1), groups.amax(dim=2).amax(dim=1)], dim=1)


class CBAM(nn.Module):
    """Convolutional block attention (Woo et al., ECCV 2018): channel, then spatial attention."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.channel_mlp = nn.Sequential(
            nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels)
        )
        self.spatial = nn.Sequential(
            nn.Conv2d(2, 1, kernel_size=7, padding=3, bias=False), nn.BatchNorm2d(1)
        )

    def forward(self, feature: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        mean, peak = global_average(feature), feature.amax(dim=(2, 3))
        gate = torch.sigmoid(self.channel_mlp(mean) + self.channel_mlp(peak))
        feature = feature * gate[:, :, None, None]
        return feature * torch.sigmoid(self.spatial(over_channels(feature)))


class Branch(nn.Module):
    """image (B, 3, H, W) -> feature (B, C, h, w) and pooled (B, C)."""

    def __init__(self, backbone: Backbone, cbam_reduction: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.attention = CBAM(backbone.channels, cbam_reduction)

    def forward(self, image: Tensor) -> BranchOutput:
        feature = self.attention(self.backbone(image))
        return BranchOutput(feature, global_average(feature))
