"""HACNN: regions cut by hand, harmonious attention written out, and the local branch."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from denet.rivals.hacnn import HACNN, HarmoniousAttention, cut_regions
from tests.denet.networks import randomized
from tests.denet.rivals.settings import SETTING, double


def sampled(x: np.ndarray, row: float, column: float) -> np.ndarray:
    """Bilinear, zeros outside: x (C, h, w) at a place in pixels."""
    total = np.zeros(len(x))
    for i in (int(np.floor(row)), int(np.floor(row)) + 1):
        for j in (int(np.floor(column)), int(np.floor(column)) + 1):
            if 0 <= i < x.shape[1] and 0 <= j < x.shape[2]:
                total += (1 - abs(row - i)) * (1 - abs(column - j)) * x[:, i, j]
    return total


def test_regions_are_as_wide_as_the_map_and_a_quarter_as_high() -> None:
    x, translations = double(2, 3, 8, 4), torch.tanh(double(2, 4, 2, seed=1))
    found = cut_regions(x, translations, (4, 8))
    assert found.shape == (8, 3, 4, 8)
    for region in range(4):
        for sample in range(2):
            right, down = translations[sample, region].tolist()
            for i in range(4):
                for j in range(8):
                    # Middles of the positions, from -1 to 1 over the region, then over the map.
                    vertical = ((2 * i + 1) / 4 - 1) / 4 + down
                    horizontal = (2 * j + 1) / 8 - 1 + right
                    row, column = ((vertical + 1) * 8 - 1) / 2, ((horizontal + 1) * 4 - 1) / 2
                    expected = sampled(x[sample].numpy(), row, column)
                    got = found[region * 2 + sample, :, i, j].numpy()
                    np.testing.assert_allclose(got, expected, atol=1e-12)


@torch.no_grad()
def test_attention_is_spatial_times_channel() -> None:
    torch.manual_seed(0)
    attention = randomized(HarmoniousAttention(32, reduction=4))
    assert isinstance(attention, HarmoniousAttention)
    x = double(2, 32, 8, 4)
    soft, translations = attention(x)
    small = attention.spatial(x.mean(1, keepdim=True))
    assert small.shape == (2, 1, 4, 2)
    large = functional.interpolate(small, (8, 4), mode="bilinear", align_corners=True)
    where = attention.scale(large).expand(2, 32, 8, 4)
    which = attention.channel(x.mean((2, 3), keepdim=True)).expand(2, 32, 8, 4)
    joint = attention.joint(where * which)
    torch.testing.assert_close(soft, 1 / (1 + (-joint).exp()))
    # Untrained, the regions are four stripes from the top to the bottom, whatever the image.
    stripes = torch.tensor([[0, -0.75], [0, -0.25], [0, 0.25], [0, 0.75]], dtype=torch.float64)
    torch.testing.assert_close(translations, stripes.tanh().expand(2, 4, 2))


@torch.no_grad()
def test_both_features_are_normalized_side_by_side() -> None:
    torch.manual_seed(0)
    network = HACNN(SETTING).eval()
    assert network.region == (4, 8)  # 3/5 of 8 rows and 7/4 of 4 columns, in multiples of 4
    image = torch.randn(2, 3, 32, 16)
    whole, local = network.both(image)
    assert whole.shape == local.shape == (2, 512)
    feature = network.feature(image)
    torch.testing.assert_close(feature[:, :512], whole / whole.norm(dim=1, keepdim=True))
    torch.testing.assert_close(feature[:, 512:], local / local.norm(dim=1, keepdim=True))


def test_the_loss_teaches_where_to_look() -> None:
    torch.manual_seed(0)
    network = HACNN(SETTING).train()
    network.loss(torch.randn(6, 3, 32, 16), torch.arange(6) % 3).backward()
    for attention in network.attention:
        grad = attention.hard.weight.grad
        assert grad is not None
        assert grad.abs().max() > 0
