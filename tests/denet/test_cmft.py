"""A CMFT against one that goes through the full-resolution image."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from denet.cmft import CMFT, stages_between, to_grid, to_image
from tests.denet.naive import assert_same, gap, naive_cmft, naive_image, random_tensor, seeds
from tests.denet.networks import randomized


@settings(max_examples=15, deadline=None)
@given(
    seed=seeds,
    channels=st.integers(1, 16),
    width=st.sampled_from([4, 8, 12]),
    last_stride=st.sampled_from([1, 2]),
    positions=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    batch=st.integers(1, 3),
    placed=st.booleans(),
)
def test_a_cmft_is_the_one_that_goes_through_the_image(
    seed: int,
    channels: int,
    width: int,
    last_stride: int,
    positions: tuple[int, int],
    batch: int,
    placed: bool,
) -> None:
    torch.manual_seed(seed)
    stride = 16 * last_stride
    image_size = positions[0] * stride, positions[1] * stride
    stages = stages_between(image_size, stride)
    cmft = randomized(CMFT(channels, width, stages, placed=placed, maps=True))
    feature = random_tensor(batch, channels, *positions)
    with torch.no_grad():
        output = cmft(feature)
        recovered, image = naive_cmft(cmft, feature)
    assert recovered.shape == feature.shape
    assert image.shape == (batch, 3, *image_size)
    assert_same(to_image(output.grid), image)
    assert_same(output.pooled, gap(recovered))
    assert_same(output.feature, recovered)
    with torch.no_grad():
        exported = cmft.down.linear()(gap(cmft.down(cmft.up(feature))))
    assert_same(exported, output.pooled)


@settings(max_examples=15, deadline=None)
@given(size=st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5)), seed=seeds)
def test_grid_and_image_are_one_thing(size: tuple[int, int, int], seed: int) -> None:
    torch.manual_seed(seed)
    batch, height, width = size
    grid = random_tensor(batch, 48, height, width)
    assert torch.equal(to_image(grid), naive_image(grid))
    assert torch.equal(to_grid(to_image(grid)), grid)
    image = random_tensor(batch, 3, 4 * height, 4 * width)
    assert torch.equal(to_image(to_grid(image)), image)
