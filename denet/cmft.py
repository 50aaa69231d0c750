"""Cross-modality feature transformation: recover the feature of b from the feature of a.

Paper, III-B: X'_b = UpSample(F_a) is an image, F'_b = DownSample(X'_b) a feature. Two choices
keep it cheap without changing what is computed:

- UpSample ends, and DownSample begins, in space-to-depth form. The last convolution of UpSample
  gives (B, 48, H/4, W/4); `PixelShuffle(4)` of that is the image. DownSample's first
  convolution is 4x4 with stride 4 on the image, which is a 1x1 convolution on the 48 channels
  (`DownSample.first_on_grid`). Nothing runs at full resolution unless the image is asked for.
- DownSample ends in a linear 1x1 expansion to C channels. Only the pooled F'_b is used (the
  outgoing edges of a missing modality are cut) and a mean passes through a linear map, so the
  expansion is applied to one pooled vector, not to a map.

In the paper's form F'_b is what the expansion makes. A CMFT that is `placed` does more, which is
not in the paper: it standardizes that, scales it by a learned gain, and places it where the real
feature of b stands: at its running mean and deviation, which training observes. So a recovered
feature is comparable with a real one however small or large those happen to be, and its gain
alone says how much it counts. All of that is linear and constant after training, and is folded
into the expansion on export.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from denet.branch import global_average
from denet.config import ConfigError

PATCH = 4
"""Side of the image patch that one position of the space-to-depth grid holds, in pixels."""

IMAGE_CHANNELS = 3

GAIN = 0.25
"""Of a fresh CMFT: the deviation of what it recovers, as a share of the real feature's."""


class CmftOutput(NamedTuple):
    """What a CMFT recovers."""

    pooled: Tensor  # (B, C), the pooled recovered feature F'_b
    grid: Tensor  # (B, 48, H/4, W/4), the recovered image X'_b in space-to-depth form
    feature: Tensor | None  # (B, C, h, w), F'_b as a map, of a CMFT that is built to give it


def to_image(grid: Tensor) -> Tensor:
    """The recovered image: (B, 48, H/4, W/4) -> (B, 3, H, W), normalized as network input."""
    return functional.pixel_shuffle(grid, PATCH)


def to_grid(image: Tensor) -> Tensor:
    """Space to depth, the inverse of `to_image`: (B, 3, H, W) -> (B, 48, H/4, W/4)."""
    return functional.pixel_unshuffle(image, PATCH)


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    # Batch normalization stands right behind its convolution, before any pixel shuffle: there
    # it folds into the weights on export.
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class UpSample(nn.Module):
    """F_a (B, C, h, w) -> X'_b as a grid (B, 48, h * 2**stages, w * 2**stages)."""

    def __init__(self, channels: int, width: int, stages: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [_conv(channels, width, 1)]
        for stage in range(stages):
            inputs, outputs = _halved(width, stage), _halved(width, stage + 1)
            layers += [_conv(inputs, outputs * 4, 3), nn.PixelShuffle(2)]
        grid_channels = IMAGE_CHANNELS * PATCH**2
        layers.append(nn.Conv2d(_halved(width, stages), grid_channels, 3, padding=1))
        self.layers = nn.Sequential(*layers)

    def forward(self, feature: Tensor) -> Tensor:
        grid: Tensor = self.layers(feature)
        return grid

    def in_blocks(self) -> UpSample:
        """The same with `BlockShuffle`: its convolutions give their channels in that order."""
        made = copy.deepcopy(self)
        for place, layer in enumerate(made.layers):
            if isinstance(layer, nn.PixelShuffle):
                before = made.layers[place - 1]
                assert isinstance(before, nn.Sequential)
                _reorder(before, layer.upscale_factor**2)
                made.layers[place] = BlockShuffle(layer.upscale_factor)
        return made


class BlockShuffle(nn.Module):
    """Depth to space (B, f * f * c, h, w) -> (B, c, f * h, f * w), written channels last.

    Channel (i * f + j) * c + k is channel k of pixel (i, j) of each f x f patch, so what moves are
    whole blocks of c numbers. Engines on a CPU hold maps channels last or nearly so, where the two
    outer transpositions cost nothing; `nn.PixelShuffle` moves single numbers.
    """

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, deep: Tensor) -> Tensor:
        factor = self.factor
        batch, channels, height, width = deep.shape
        block = channels // factor**2
        rows = deep.permute(0, 2, 3, 1).reshape(batch, height, width, factor, factor, block)
        wide = rows.permute(0, 1, 3, 2, 4, 5)
        return wide.reshape(batch, height * factor, width * factor, block).permute(0, 3, 1, 2)


def _reorder(conv: nn.Sequential, pixels: int) -> None:
    """From the order of `nn.PixelShuffle`, channel by channel, to that of `BlockShuffle`."""
    for layer in conv:
        for tensor in (*layer.parameters(), *layer.buffers()):
            if tensor.ndim:  # not the number of batches that were seen
                by_channel = tensor.data.reshape(-1, pixels, *tensor.shape[1:])
                tensor.data = by_channel.transpose(0, 1).reshape(tensor.shape).contiguous()


class DownSample(nn.Module):
    """X'_b as a grid -> the recovered feature, pooled (B, C) or as a map (B, C, h, w).

    `placed`: what it makes stands where the real feature does (see above).
    """

    def __init__(self, channels: int, width: int, stages: int, *, placed: bool = True) -> None:
        super().__init__()
        self.placed = placed
        first = _halved(width, stages)
        self.first = nn.Conv2d(IMAGE_CHANNELS, first, PATCH, stride=PATCH, bias=False)
        self.first_norm = nn.BatchNorm2d(first)
        self.stages = nn.Sequential(
            *(
                _conv(_halved(width, stage + 1), _halved(width, stage), 3, stride=2)
                for stage in reversed(range(stages))
            )
        )
        self.expand = nn.Linear(width, channels)
        if not placed:
            return
        self.norm = nn.BatchNorm1d(channels, affine=False)
        self.gain = nn.Parameter(torch.full((channels,), GAIN))
        # Holds the statistics of the real feature, and normalizes nothing.
        self.real = nn.BatchNorm1d(channels, affine=False)

    def first_on_grid(self) -> Tensor:
        """The weight of `first` for the grid: (first, 3, 4, 4) -> (first, 48, 1, 1).

        Both orders are channel, row in patch, column in patch, so it is a reshape.
        """
        return self.first.weight.reshape(self.first.out_channels, -1, 1, 1)

    def forward(self, grid: Tensor) -> Tensor:
        """The narrow map (B, width, h, w) that is left to be pooled and expanded."""
        hidden = functional.relu(self.first_norm(functional.conv2d(grid, self.first_on_grid())))
        narrow: Tensor = self.stages(hidden)
        return narrow

    def pooled(self, narrow: Tensor) -> Tensor:
        """(B, width, h, w) -> GAP(F'_b), (B, C)."""
        expanded: Tensor = self.expand(global_average(narrow))
        return self._placed(self.norm(expanded)) if self.placed else expanded

    def feature(self, narrow: Tensor) -> Tensor:
        """(B, width, h, w) -> F'_b, (B, C, h, w), which nothing in a DENet needs."""
        expanded: Tensor = self.expand(narrow.movedim(1, -1))
        if not self.placed:
            return expanded.movedim(-1, 1)
        deviation = torch.sqrt(_variance(self.norm) + self.norm.eps)
        mean = self.norm.running_mean
        assert mean is not None
        return self._placed((expanded - mean) / deviation).movedim(-1, 1)

    def observe(self, real: Tensor) -> None:
        """Learn where the real feature stands, from a batch (B, C) of it; in training only."""
        if self.placed:
            self.real(real.detach())

    def _placed(self, standardized: Tensor) -> Tensor:
        deviation = torch.sqrt(_variance(self.real) + self.real.eps)
        mean = self.real.running_mean
        assert mean is not None
        placed: Tensor = standardized * self.gain * deviation + mean
        return placed

    def linear(self) -> nn.Linear:
        """All that follows on the pooled narrow map in evaluation mode, as one linear map."""
        linear = copy.deepcopy(self.expand)
        if not self.placed:
            return linear
        norm = copy.deepcopy(self.norm).eval()
        deviation = torch.sqrt(_variance(norm) + norm.eps)
        real_deviation = torch.sqrt(_variance(self.real) + self.real.eps)
        with torch.no_grad():
            linear.weight.mul_((self.gain * real_deviation / deviation)[:, None])
            linear.bias.copy_(self._placed(norm(self.expand.bias[None]))[0])
        return linear


def _variance(norm: nn.BatchNorm1d) -> Tensor:
    variance = norm.running_var
    assert variance is not None
    return variance


class CMFT(nn.Module):
    """One direction a2b: feature of a (B, C, h, w) -> pooled recovered feature of b (B, C).

    `maps`: give the recovered feature as a map as well. `placed`: as `DownSample`.
    """

    def __init__(
        self, channels: int, width: int, stages: int, *, maps: bool = False, placed: bool = True
    ) -> None:
        super().__init__()
        self.maps = maps
        self.up = UpSample(channels, width, stages)
        self.down = DownSample(channels, width, stages, placed=placed)

    def forward(self, feature: Tensor) -> CmftOutput:
        grid = self.up(feature)
        narrow = self.down(grid)
        recovered = self.down.feature(narrow) if self.maps else None
        return CmftOutput(self.down.pooled(narrow), grid, recovered)


def _halved(width: int, stage: int) -> int:
    """Channels after `stage` doublings of the resolution: halved each time, at most twice."""
    return width >> min(stage, 2)


def stages_between(image_size: tuple[int, int], stride: int) -> int:
    """Doublings from the backbone's feature map to the space-to-depth grid.

    Raises:
        ConfigError: the image does not divide into whole positions of the feature map.
    """
    height, width = image_size
    if height % stride or width % stride:
        raise ConfigError(
            f"image_size {height}x{width} must be a multiple of the backbone's stride {stride}"
        )
    return (stride // PATCH).bit_length() - 1
