"""PFNet: progressive fusion (Zheng, Wang, Chen, Li and Tang, AAAI 2021), DENet's forerunner.

Three streams without shared weights make feature maps F_m. They are fused from single to several
modalities and from local to global views: a summation branch F_S = sum_m F_m stands beside the
three; each of the four is pooled in horizontal stripes, each stripe is reduced (1x1, norm, ReLU),
and the stripes of a branch, then the branches, are put side by side. Where modalities are missing,
a convolutional network with upsampling, one for each direction, makes the feature map of the
missing modality from that of an available one (DENet's anchor), and the fusion is the same. They
are trained on complete data by the mean squared difference from the real map. The loss is

    L = mean_branches CE + CE + L_tri (both on everything) + mean_directions MSE.

The paper's code is not public, and what stands here was read from its abstract and the caption of
its figure. The number of stripes (3), their width (256), the layers of a transformation (3x3 with
stride 2, 3x3, twice as large, 1x1), which losses there are and their weights (1) are ours. No
gradient of the last term comes to the real map.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from denet.graph import Edge, Modality, State
from denet.rivals.heads import HardTriplet, NeckClassifier, smoothed
from denet.rivals.rival import Rival, Setting

STRIPES = 3
WIDTH = 256
SUM = "sum"
"""What the summation branch is called beside the modalities."""


class Transformation(nn.Module):
    """The feature map of one modality from that of another, of the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = max(channels // 4, 1)
        self.down = nn.Sequential(
            nn.Conv2d(channels, narrow, 3, 2, 1, bias=False), nn.BatchNorm2d(narrow), nn.ReLU()
        )
        self.middle = nn.Sequential(
            nn.Conv2d(narrow, narrow, 3, 1, 1, bias=False), nn.BatchNorm2d(narrow), nn.ReLU()
        )
        self.out = nn.Conv2d(narrow, channels, 1)

    def forward(self, feature: Tensor) -> Tensor:
        small = self.middle(self.down(feature))
        large = functional.interpolate(
            small, feature.shape[2:], mode="bilinear", align_corners=False
        )
        return torch.relu(self.out(large))  # as the map of a ResNet, which ends in a ReLU


class PFNet(Rival):
    """The network."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.streams = nn.ModuleDict({m: setting.backbone(m) for m in self.modalities})
        first = self.streams[self.modalities[0]]
        channels = first.channels
        assert isinstance(channels, int)
        self.transformations = nn.ModuleDict(
            {_name(pair): Transformation(channels) for pair in self.graph.pairs}
        )
        names = (*self.modalities, SUM)
        self.stripes = nn.ModuleDict(
            {
                name: nn.ModuleList(
                    nn.Sequential(
                        nn.Linear(channels, WIDTH, bias=False), nn.BatchNorm1d(WIDTH), nn.ReLU()
                    )
                    for _ in range(STRIPES)
                )
                for name in names
            }
        )
        size = STRIPES * WIDTH
        self.heads = nn.ModuleDict({n: NeckClassifier(size, setting.identities) for n in names})
        self.dim = len(names) * size
        self.head = NeckClassifier(self.dim, setting.identities)
        self.triplet = HardTriplet(setting.train.margin)
        self.smoothing = setting.train.smoothing

    def fuse(self, maps: Mapping[Modality, Tensor]) -> dict[str, Tensor]:
        """Feature maps (B, C, h, w) of all modalities -> a vector (B, 3 x 256) of each branch."""
        every: dict[str, Tensor] = {m: maps[m] for m in self.modalities}
        every[SUM] = torch.stack(list(every.values())).sum(dim=0)
        vectors: dict[str, Tensor] = {}
        for name, feature in every.items():
            pooled = functional.adaptive_avg_pool2d(feature, (STRIPES, 1)).flatten(2)
            reduce = self.stripes[name]
            assert isinstance(reduce, nn.ModuleList)
            vectors[name] = torch.cat([r(pooled[:, :, i]) for i, r in enumerate(reduce)], dim=1)
        return vectors

    def complete(self, maps: Mapping[Modality, Tensor], state: State) -> dict[Modality, Tensor]:
        """The maps of the available modalities, and for the missing ones what is made of the
        anchor's."""
        return {
            m: maps[m]
            if m in maps
            else self.transformations[_name((state.anchor, m))](maps[state.anchor])
            for m in self.modalities
        }

    def features(self, images: Mapping[Modality, Tensor], state: State) -> Tensor:
        maps = {m: self.streams[m](images[m]) for m in state.available}
        return torch.cat(list(self.fuse(self.complete(maps, state)).values()), dim=1)

    def loss(self, images: Mapping[Modality, Tensor], labels: Tensor) -> Tensor:
        maps = {m: self.streams[m](images[m]) for m in self.modalities}
        vectors = self.fuse(maps)
        whole = torch.cat(list(vectors.values()), dim=1)
        each = [smoothed(self.heads[n](v), labels, self.smoothing) for n, v in vectors.items()]
        total: Tensor = (
            torch.stack(each).mean()
            + smoothed(self.head(whole), labels, self.smoothing)
            + self.triplet(whole, labels)
        )
        recovered = [
            functional.mse_loss(self.transformations[_name((s, t))](maps[s]), maps[t].detach())
            for s, t in self.graph.pairs
        ]
        return total + torch.stack(recovered).mean() if recovered else total


def _name(pair: Edge) -> str:
    source, target = pair
    return f"{source}>{target}"
