"""MLFN: multi-level factorisation (Chang, Hospedales and Xiang, CVPR 2018).

A ResNeXt whose groups are factors. A factor selection module looks at what comes into a block and
says which of its K factor modules are on:

    s = sigmoid(MLP(GAP(x))) in (0, 1)^K,    y = x + sum_k s_k F_k(x)

where F_k is 1x1, 3x3 and 1x1 convolution of group k. The feature is the mean of two projections to
1024 numbers (1x1, norm, ReLU), of the pooled last map and of all s side by side (the factor
signature), so that it tells what was found and how. The loss is cross-entropy.

Where the recipe's backbone is `resnet10`, a stage has one block instead of 3, 4, 6 and 3; K = 32
and the widths are as they were. Left out: ImageNet weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from denet.rivals.heads import classifier, smoothed
from denet.rivals.rival import Setting, SingleModality

FACTORS = 32
WIDTHS = (64, 256, 512, 1024, 2048)
BLOCKS = (3, 4, 6, 3)
SELECTORS = ((128, 64), (256, 128), (512, 128), (512, 128))
"""Hidden widths of the selection modules, by stage."""
PROJECTED = 1024


class FactorBlock(nn.Module):
    """A block: x (B, C, h, w) -> y (B, C', h', w'), and s (B, K)."""

    def __init__(self, channels: int, out: int, stride: int, hidden: tuple[int, int]) -> None:
        super().__init__()
        middle = out // 2
        self.reduce = _conv(channels, middle)
        self.factors = _conv(middle, middle, 3, stride, groups=FACTORS)
        self.restore = _conv(middle, out)
        one, two = hidden
        self.selector = nn.Sequential(
            nn.Linear(channels, one),
            nn.BatchNorm1d(one),
            nn.ReLU(),
            nn.Linear(one, two),
            nn.BatchNorm1d(two),
            nn.ReLU(),
            nn.Linear(two, FACTORS),
            nn.BatchNorm1d(FACTORS),
            nn.Sigmoid(),
        )
        self.shortcut = (
            _conv(channels, out, stride=stride) if channels != out or stride > 1 else nn.Identity()
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        selected = self.selector(x.mean(dim=(2, 3)))
        y = torch.relu(self.factors(torch.relu(self.reduce(x))))
        # Channels of a group stand together.
        weights = selected.repeat_interleave(y.shape[1] // FACTORS, dim=1)
        y = torch.relu(self.restore(y * weights[:, :, None, None]))
        return torch.relu(self.shortcut(x) + y), selected


class MLFN(SingleModality):
    """The network for one modality."""

    dim = PROJECTED

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            _conv(3, WIDTHS[0], 7, 2), nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1)
        )
        blocks: list[FactorBlock] = []
        for stage, count in enumerate((1, 1, 1, 1) if setting.shallow else BLOCKS):
            channels, out = WIDTHS[stage], WIDTHS[stage + 1]
            for i in range(count):
                stride = 2 if stage and not i else 1
                blocks.append(FactorBlock(out if i else channels, out, stride, SELECTORS[stage]))
        self.blocks = nn.ModuleList(blocks)
        self.project_map = _projection(WIDTHS[-1])
        self.project_signature = _projection(FACTORS * len(blocks))
        self.classifier = classifier(PROJECTED, setting.identities, bias=True)

    def feature(self, image: Tensor) -> Tensor:
        x, signature = self.stem(image), []
        for block in self.blocks:
            x, selected = block(x)
            signature.append(selected)
        found: Tensor = self.project_map(x.mean(dim=(2, 3)))
        how: Tensor = self.project_signature(torch.cat(signature, dim=1))
        return (found + how) / 2

    def loss(self, image: Tensor, labels: Tensor) -> Tensor:
        return smoothed(self.classifier(self.feature(image)), labels)


def _conv(
    channels: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out),
    )


def _projection(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(channels, PROJECTED, bias=False), nn.BatchNorm1d(PROJECTED), nn.ReLU()
    )
