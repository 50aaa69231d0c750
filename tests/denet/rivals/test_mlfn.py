"""MLFN: a block as the sum over its factor modules, and the factor signature."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from denet.rivals.mlfn import FACTORS, MLFN, FactorBlock
from tests.denet.networks import randomized
from tests.denet.rivals.settings import SETTING, double, with_backbone


def normed(x: Tensor, bn: nn.Module) -> Tensor:
    """Batch normalization in evaluation, written out."""
    assert isinstance(bn, nn.BatchNorm2d)
    shape = (1, -1, 1, 1)
    scale = bn.weight / (bn.running_var + bn.eps).sqrt()
    return (x - bn.running_mean.reshape(shape)) * scale.reshape(shape) + bn.bias.reshape(shape)


@torch.no_grad()
def test_a_block_is_the_weighed_sum_of_its_factor_modules() -> None:
    torch.manual_seed(0)
    block = randomized(FactorBlock(64, 128, 1, (8, 4)))
    assert isinstance(block, FactorBlock)
    x = double(3, 64, 4, 2)
    found, selected = block(x)
    assert selected.shape == (3, FACTORS)
    assert selected.min() > 0
    assert selected.max() < 1

    reduced = normed(functional.conv2d(x, block.reduce[0].weight), block.reduce[1]).clamp(min=0)
    total = torch.zeros(3, 128, 4, 2, dtype=torch.float64)
    per = 64 // FACTORS
    for k in range(FACTORS):
        mine = slice(k * per, (k + 1) * per)
        made = functional.conv2d(reduced[:, mine], block.factors[0].weight[mine], padding=1)
        whole = torch.zeros_like(reduced)
        whole[:, mine] = made
        active = normed(whole, block.factors[1]).clamp(min=0)[:, mine]
        weight = block.restore[0].weight[:, mine]
        total += selected[:, k, None, None, None] * functional.conv2d(active, weight)
    y = normed(total, block.restore[1]).clamp(min=0)
    shortcut = normed(functional.conv2d(x, block.shortcut[0].weight), block.shortcut[1])
    torch.testing.assert_close(found, (shortcut + y).clamp(min=0))


@torch.no_grad()
def test_the_feature_is_the_mean_of_map_and_signature() -> None:
    torch.manual_seed(0)
    network = MLFN(SETTING).double().eval()
    image = double(2, 3, 32, 16)
    x, signature = network.stem(image), []
    for block in network.blocks:
        x, selected = block(x)
        signature.append(selected)
    assert len(signature) == 4
    found = network.project_map(x.mean((2, 3)))
    how = network.project_signature(torch.cat(signature, 1))
    torch.testing.assert_close(network.feature(image), (found + how) / 2)


def test_the_whole_network_has_16_blocks_and_the_published_size() -> None:
    with torch.device("meta"):
        network = MLFN(with_backbone("resnet50"))
    assert len(network.blocks) == 16
    # torchreid's model zoo: 32.5 million with ImageNet's 1000 classes left out.
    embedding = sum(p.numel() for n, p in network.named_parameters() if "classifier" not in n)
    assert round(embedding / 1e6, 1) == 32.5
