"""HACNN: harmonious attention (Li, Zhu and Gong, CVPR 2018).

Three stages of Inception blocks. Behind each, soft attention weighs every number of the map,

    A = sigmoid(W (S * C)),   S (1, h, w) from the mean over channels, C (c, 1, 1) from the GAP,

and hard attention says where four regions lie, each as wide as the map and a quarter as high:
theta = tanh(w GAP(x)), two translations for each. The local branch cuts them (bilinearly, spatial
transformers) out of the map before that stage, adds them to what its own stage before has made of
them, and goes on with one Inception block for all four. Global and local feature, 512 numbers each
(linear, norm, ReLU), have a classifier each; the loss is the sum of both cross-entropies, and what
is compared is both, each L2-normalized, side by side.

The paper's images are 160x64 and its regions 24x28, 12x14 and 6x7 positions; here the first has
the same share of the map (3/5 of its height, 7/4 of its width), rounded to multiples of 4.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from denet.rivals.heads import classifier, smoothed
from denet.rivals.rival import Setting, SingleModality

STEM = 32
WIDTHS = (128, 256, 384)
REGIONS = 4
PROJECTED = 512


class InceptionA(nn.Module):
    """Four streams at the same resolution."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        part = out // 4
        self.streams = nn.ModuleList(
            nn.Sequential(_conv(channels, part), _conv(part, part, 3)) for _ in range(3)
        )
        self.pooled = nn.Sequential(nn.AvgPool2d(3, stride=1, padding=1), _conv(channels, part))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([*(stream(x) for stream in self.streams), self.pooled(x)], dim=1)


class InceptionB(nn.Module):
    """Three streams that halve the resolution."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        part = out // 4
        self.short = nn.Sequential(_conv(channels, part), _conv(part, part, 3, 2))
        self.long = nn.Sequential(
            _conv(channels, part), _conv(part, part, 3), _conv(part, part, 3, 2)
        )
        self.pooled = nn.Sequential(nn.MaxPool2d(3, stride=2, padding=1), _conv(channels, 2 * part))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.short(x), self.long(x), self.pooled(x)], dim=1)


class HarmoniousAttention(nn.Module):
    """x (B, C, h, w) -> attention of the same shape, and translations (B, 4, 2) in (-1, 1)."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.spatial = _conv(1, 1, 3, 2)
        self.scale = _conv(1, 1)
        self.channel = nn.Sequential(
            _conv(channels, channels // reduction), _conv(channels // reduction, channels)
        )
        self.joint = _conv(channels, channels)
        self.hard = nn.Linear(channels, 2 * REGIONS)
        # The regions begin as four stripes, from the top to the bottom.
        nn.init.zeros_(self.hard.weight)
        with torch.no_grad():
            self.hard.bias.copy_(torch.tensor([0, -0.75, 0, -0.25, 0, 0.25, 0, 0.75]))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean = x.mean(dim=(2, 3), keepdim=True)
        where = functional.interpolate(
            self.spatial(x.mean(dim=1, keepdim=True)),
            x.shape[2:],
            mode="bilinear",
            align_corners=True,
        )
        soft = torch.sigmoid(self.joint(self.scale(where) * self.channel(mean)))
        return soft, torch.tanh(self.hard(mean.flatten(1))).view(-1, REGIONS, 2)


def cut_regions(x: Tensor, translations: Tensor, size: tuple[int, int]) -> Tensor:
    """The regions of x (B, C, h, w) at `translations` (B, 4, 2), each as (B, C, *size): all of
    them, (4B, C, *size), region by region."""
    batch = len(x)
    theta = x.new_zeros(REGIONS * batch, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = 1.0, 1 / REGIONS
    theta[:, :, 2] = translations.transpose(0, 1).reshape(-1, 2)
    grid = functional.affine_grid(theta, [REGIONS * batch, x.shape[1], *size], align_corners=False)
    return functional.grid_sample(x.repeat(REGIONS, 1, 1, 1), grid, align_corners=False)


class HACNN(SingleModality):
    """The network for one modality."""

    dim = 2 * PROJECTED

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        height, width = setting.model.image_size
        self.region = _four(height / 4 * 3 / 5), _four(width / 4 * 7 / 4)
        inputs = (STEM, *WIDTHS[:-1])
        self.stem = _conv(3, STEM, 3, 2)
        self.stages = nn.ModuleList(
            nn.Sequential(InceptionA(i, o), InceptionB(o, o))
            for i, o in zip(inputs, WIDTHS, strict=True)
        )
        self.attention = nn.ModuleList(HarmoniousAttention(o) for o in WIDTHS)
        self.local = nn.ModuleList(InceptionB(i, o) for i, o in zip(inputs, WIDTHS, strict=True))
        self.fc_global = _projection(WIDTHS[-1])
        self.fc_local = _projection(WIDTHS[-1] * REGIONS)
        self.classify_global = classifier(PROJECTED, setting.identities, bias=True)
        self.classify_local = classifier(PROJECTED, setting.identities, bias=True)

    def both(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The global and the local feature, (B, 512) each."""
        x, local = self.stem(image), None
        height, width = self.region
        for i, (stage, attention, block) in enumerate(
            zip(self.stages, self.attention, self.local, strict=True)
        ):
            made = stage(x)
            soft, translations = attention(made)
            regions = cut_regions(x, translations, (height >> i, width >> i))
            local = block(regions if local is None else regions + local)
            x = made * soft
        assert local is not None
        pooled = local.mean(dim=(2, 3)).unflatten(0, (REGIONS, -1)).transpose(0, 1).flatten(1)
        return self.fc_global(x.mean(dim=(2, 3))), self.fc_local(pooled)

    def feature(self, image: Tensor) -> Tensor:
        return torch.cat([functional.normalize(each) for each in self.both(image)], dim=1)

    def loss(self, image: Tensor, labels: Tensor) -> Tensor:
        whole, local = self.both(image)
        return smoothed(self.classify_global(whole), labels) + smoothed(
            self.classify_local(local), labels
        )


def _four(length: float) -> int:
    return max(4 * round(length / 4), 4)


def _conv(channels: int, out: int, kernel: int = 1, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(out),
        nn.ReLU(),
    )


def _projection(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(channels, PROJECTED), nn.BatchNorm1d(PROJECTED), nn.ReLU())
