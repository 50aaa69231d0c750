"""OSNet: a small backbone that sees several scales at once (Zhou et al., ICCV 2019).

A block adds four streams of 1 to 4 light 3x3 convolutions, whose receptive fields are 3 to 9
pixels wide, each weighed channel by channel by one gate G that they share (its Eq. 3):

    x~ = sum_t G(x^t) * x^t,    y = ReLU(x W + W' x~)

A light convolution is a 1x1 convolution, then a depthwise 3x3 one. Modules and parameters have the
names that they have in torchreid, so that its published weights load by name; its `fc` and
`classifier` stand behind the feature map and are none of the backbone (`denet.rivals.osnet` has
them). Instance normalization (OSNet-IBN, OSNet-AIN) is another network and is left out.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTHS: dict[str, tuple[int, int, int, int]] = {
    "osnet_x1_0": (64, 256, 384, 512),
    "osnet_x0_75": (48, 192, 288, 384),
    "osnet_x0_5": (32, 128, 192, 256),
    "osnet_x0_25": (16, 64, 96, 128),
}
"""Channels of the stem and behind each of the three stages, by the name of the backbone."""

STRIDE = 16
"""Of every OSNet: its last stage does not reduce the resolution."""

REDUCTION = 16
"""Of the channels in a gate."""


class ConvNorm(nn.Module):
    """Convolution without bias, batch normalization and ReLU (without that, if `linear`)."""

    def __init__(
        self,
        channels: int,
        out: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        linear: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(out)
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x))
        return x if self.linear else torch.relu(x)


class LightConv(nn.Module):
    """A light 3x3 convolution: 1x1, then depthwise 3x3, normalization and ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False, groups=channels)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.bn(self.conv2(self.conv1(x))))


class Gate(nn.Module):
    """x (B, C, h, w) -> x times a number in (0, 1) for each channel, which its mean decides."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // REDUCTION, 1)
        self.fc2 = nn.Conv2d(channels // REDUCTION, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=(2, 3), keepdim=True)
        return x * torch.sigmoid(self.fc2(torch.relu(self.fc1(mean))))


class OSBlock(nn.Module):
    """The omni-scale residual block."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        middle = out // 4
        self.conv1 = ConvNorm(channels, middle)
        self.conv2a = LightConv(middle)
        self.conv2b = nn.Sequential(*(LightConv(middle) for _ in range(2)))
        self.conv2c = nn.Sequential(*(LightConv(middle) for _ in range(3)))
        self.conv2d = nn.Sequential(*(LightConv(middle) for _ in range(4)))
        self.gate = Gate(middle)
        self.conv3 = ConvNorm(middle, out, linear=True)
        self.downsample = ConvNorm(channels, out, linear=True) if channels != out else None

    def forward(self, x: Tensor) -> Tensor:
        narrow = self.conv1(x)
        streams = (self.conv2a, self.conv2b, self.conv2c, self.conv2d)
        first, *others = (self.gate(stream(narrow)) for stream in streams)
        fused: Tensor = first
        for other in others:
            fused = fused + other
        shortcut = x if self.downsample is None else self.downsample(x)
        return torch.relu(self.conv3(fused) + shortcut)


class OSNet(nn.Module):
    """Image (B, 3, H, W) -> feature map (B, C, H / 16, W / 16).

    Args:
        name: one of `WIDTHS`.

    Attributes:
        channels: C.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        stem, one, two, three = WIDTHS[name]
        self.channels = three
        self.conv1 = ConvNorm(3, stem, kernel=7, stride=2)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.conv2 = nn.Sequential(OSBlock(stem, one), OSBlock(one, one), _halved(one))
        self.conv3 = nn.Sequential(OSBlock(one, two), OSBlock(two, two), _halved(two))
        self.conv4 = nn.Sequential(OSBlock(two, three), OSBlock(three, three))
        self.conv5 = ConvNorm(three, three)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, image: Tensor) -> Tensor:
        feature = self.conv3(self.conv2(self.maxpool(self.conv1(image))))
        made: Tensor = self.conv5(self.conv4(feature))
        return made


def _halved(channels: int) -> nn.Sequential:
    """What ends a stage: half the resolution."""
    return nn.Sequential(ConvNorm(channels, channels), nn.AvgPool2d(2, stride=2))
