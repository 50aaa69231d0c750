"""The network by the paper's formulas, in their naive form and in float64.

Full maps, full-resolution images and 1x1 convolutions, as `docs/composition.md` has them: none of
the shortcuts of the network is used here.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from denet.cmft import CMFT
from denet.dem import DEMEdge, TransposedEdge
from denet.graph import Composition, Modality, State
from denet.model import DENet

EXACT = 1e-12

seeds = st.integers(0, 2**32 - 1)


def assert_same(actual: Tensor, expected: Tensor) -> None:
    """Equal up to float64 rounding, relative to the largest number."""
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype == torch.float64
    assert (actual - expected).abs().max() <= EXACT * expected.abs().max()


def random_tensor(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def batch_norm(norm: nn.Module, x: Tensor) -> Tensor:
    """Eval-mode batch normalization along axis 1; nothing where there is none."""
    if isinstance(norm, nn.Identity):
        return x
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
    shape = (1, -1) + (1,) * (x.ndim - 2)
    mean, var = norm.running_mean.reshape(shape), norm.running_var.reshape(shape)
    standardized = (x - mean) / torch.sqrt(var + norm.eps)
    if not norm.affine:
        return standardized
    return standardized * norm.weight.reshape(shape) + norm.bias.reshape(shape)


def conv1x1(layer: nn.Linear, feature: Tensor) -> Tensor:
    """A linear layer as a 1x1 convolution of a map (B, C, h, w)."""
    return functional.conv2d(feature, layer.weight[:, :, None, None], layer.bias)


def gap(feature: Tensor) -> Tensor:
    return feature.mean(dim=(2, 3))


def naive_edge(edge: DEMEdge, source: Tensor, target: Tensor) -> Tensor:
    """Eq. 5, E_{s->t} as a map: from F_s and F_t, both (B, C, h, w), by the edge's reading."""
    key, value = (conv1x1(layer, source).flatten(2) for layer in (edge.key, edge.value))
    query = conv1x1(edge.query, target).flatten(2)
    positions = source.shape[2] * source.shape[3]
    if isinstance(edge, TransposedEdge):
        mixed = (query @ key.transpose(1, 2)) @ value / positions
    else:
        mixed = value @ (key.transpose(1, 2) @ query) / positions
    # The norm of evaluation is an affine map of each channel, so the map has it like its mean.
    return batch_norm(edge.norm, conv1x1(edge.out, mixed.unflatten(2, target.shape[2:])))


def naive_image(grid: Tensor) -> Tensor:
    """PixelShuffle(4): channel 16c + 4i + j holds pixel (i, j) of each 4x4 patch of colour c."""
    batch, _, height, width = grid.shape
    image = grid.new_empty(batch, 3, 4 * height, 4 * width)
    for c, i, j in product(range(3), range(4), range(4)):
        image[:, c, i::4, j::4] = grid[:, 16 * c + 4 * i + j]
    return image


def naive_cmft(cmft: CMFT, feature: Tensor) -> tuple[Tensor, Tensor]:
    """The recovered feature F'_b as a map, and the recovered image X'_b."""
    image = naive_image(cmft.up(feature))
    down = cmft.down
    hidden = functional.conv2d(image, down.first.weight, stride=4)
    hidden = functional.relu(batch_norm(down.first_norm, hidden))
    expanded = conv1x1(down.expand, down.stages(hidden))
    if not down.placed:
        return expanded, image
    standardized = batch_norm(down.norm, expanded)
    as_real = [t[:, None, None] for t in (down.gain, down.real.running_var, down.real.running_mean)]
    gain, variance, mean = as_real
    return standardized * gain * torch.sqrt(variance + down.real.eps) + mean, image


def naive_parts(
    model: DENet, images: Mapping[Modality, Tensor], state: State, kind: Composition = "dynamic"
) -> Tensor:
    """concat(c(S), c({anchor(S)})) on full feature maps, (2M, B, C); c(S) alone for "concat", and
    of one modality.

    The paper's Eq. 7-9, and for the other kinds what `denet.graph.Composition` says of them.
    """
    order = model.config.graph.modalities
    anchor = next(m for m in order if m in state.available)
    real = {m: model.engines[f"branch_{m}"](images[m]).feature for m in state.available}
    if kind == "concat":
        zero = torch.zeros_like(gap(real[anchor]))
        return torch.stack([gap(real[t]) if t in real else zero for t in order])
    recovered = {
        t: naive_cmft(model.engines[f"cmft_{anchor}2{t}"], real[anchor])[0]
        for t in order
        if t != anchor
    }

    def c(available: tuple[Modality, ...]) -> list[Tensor]:
        features = {t: real[t] if t in available else recovered[t] for t in order}
        missing = [s for s in order if s not in available]
        cycle = list(zip(order, order[1:] + order[:1], strict=True))
        cut = {
            "dynamic": lambda s, t: s in missing,
            "fixed": lambda s, t: s != order[0],
            "single": lambda s, t: s in missing or (s, t) not in cycle,
            "uncut": lambda s, t: False,
            "ordered": lambda s, t: s in missing or order.index(s) > order.index(t),
            "none": lambda s, t: True,
            "transposed": lambda s, t: s in missing,
        }[kind]
        parts = []
        for t in order:
            enhanced = features[t]
            for s in order:
                if s != t and not cut(s, t):
                    edge = model.engines[f"dem_{s}2{t}"]
                    enhanced = enhanced + naive_edge(edge, features[s], features[t])
            parts.append(gap(enhanced))
        return parts

    alone = c((anchor,)) if len(order) > 1 else []  # of one modality it is c(S) again
    return torch.stack(c(state.available) + alone)
