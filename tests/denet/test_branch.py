"""A branch, and CBAM against its equations, position by position."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from denet.backbone import build_backbone
from denet.branch import CBAM, Branch
from tests.denet.naive import assert_same, random_tensor, seeds
from tests.denet.networks import randomized


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-x))


def loop_cbam(cbam: CBAM, feature: NDArray[np.float64]) -> NDArray[np.float64]:
    """CBAM (Woo et al., Eq. 1-3) for one feature (C, h, w), position by position."""
    weights = {k: v.numpy() for k, v in cbam.state_dict().items()}

    def mlp(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        hidden = weights["channel_mlp.0.weight"] @ vector + weights["channel_mlp.0.bias"]
        return (
            weights["channel_mlp.2.weight"] @ np.maximum(hidden, 0) + weights["channel_mlp.2.bias"]
        )

    channels, height, width = feature.shape
    flat = feature.reshape(channels, -1)
    channel_gate = sigmoid(mlp(flat.mean(axis=1)) + mlp(flat.max(axis=1)))
    feature = feature * channel_gate[:, None, None]
    described = np.stack([feature.mean(axis=0), feature.max(axis=0)])
    result = np.empty_like(feature)
    for y, x in product(range(height), range(width)):
        total = 0.0
        for k, i, j in product(range(2), range(7), range(7)):
            row, column = y + i - 3, x + j - 3
            if 0 <= row < height and 0 <= column < width:
                total += weights["spatial.0.weight"][0, k, i, j] * described[k, row, column]
        centred = (total - weights["spatial.1.running_mean"][0]) / math.sqrt(
            weights["spatial.1.running_var"][0] + 1e-5
        )
        gate = sigmoid(centred * weights["spatial.1.weight"] + weights["spatial.1.bias"])
        result[:, y, x] = feature[:, y, x] * gate
    return result


@settings(max_examples=15, deadline=None)
@given(
    seed=seeds,
    channels=st.integers(1, 12),
    reduction=st.integers(1, 16),
    size=st.tuples(st.integers(1, 9), st.integers(1, 5)),
)
def test_cbam_is_channel_then_spatial_attention(
    seed: int, channels: int, reduction: int, size: tuple[int, int]
) -> None:
    torch.manual_seed(seed)
    cbam = randomized(CBAM(channels, reduction))
    feature = random_tensor(2, channels, *size)
    with torch.no_grad():
        actual = cbam(feature)
    expected = np.stack([loop_cbam(cbam, one) for one in feature.numpy()])
    assert_same(actual, torch.from_numpy(expected))


def test_a_branch_pools_its_feature_and_attends_to_its_backbone() -> None:
    branch = randomized(Branch(build_backbone("resnet18", 1, (64, 32), pretrained=False), 16))
    image = random_tensor(2, 3, 64, 32)
    with torch.no_grad():
        feature, pooled = branch(image)
        assert_same(feature, branch.attention(branch.backbone(image)))
    assert feature.shape == (2, 512, 4, 2)
    assert_same(pooled, feature.flatten(2).sum(dim=2) / 8)
