"""MPANet: alleviation, centre-cluster loss, separation and mutual learning, each written out."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from denet.rivals.mpanet import (
    ALONE,
    APART,
    MUTUAL,
    PATTERNS,
    SLOWNESS,
    Alleviation,
    MPANet,
    centre_cluster,
    overlap,
)
from tests.denet.rivals.settings import SETTING, batch, double


@torch.no_grad()
def test_alleviation_mixes_with_instance_normalization() -> None:
    torch.manual_seed(0)
    module = Alleviation(32).double()
    x = double(2, 32, 4, 3)
    first, _, second, _ = module.gate
    gate = (x.mean((2, 3)) @ first.weight.T).relu() @ second.weight.T
    gate = gate.sigmoid()[:, :, None, None]
    torch.testing.assert_close(module(x), gate * x + (1 - gate) * functional.instance_norm(x))


def test_the_centre_cluster_loss_is_the_papers_equation() -> None:
    vectors, labels = 0.3 * double(6, 3), torch.tensor([5, 5, 1, 1, 3, 3])
    f = vectors.numpy()
    middle = {i: f[labels.numpy() == i].mean(axis=0) for i in (1, 3, 5)}
    spread = np.mean([np.linalg.norm(f[i] - middle[int(labels[i])]) for i in range(6)])
    apart = [
        max(0.7 - np.linalg.norm(middle[a] - middle[b]), 0) for a, b in ((1, 3), (1, 5), (3, 5))
    ]
    assert np.mean(apart) > 0
    found = centre_cluster(vectors, labels).item()
    np.testing.assert_allclose(found, spread + 2 / (3 * 2) * np.sum(apart))
    one = centre_cluster(vectors, torch.zeros(6).long()).item()
    np.testing.assert_allclose(one, np.linalg.norm(f - f.mean(axis=0), axis=1).mean())


def test_masks_are_kept_apart() -> None:
    masks = double(2, 3, 4, 2).sigmoid()
    m = masks.numpy()
    pairs = [(m[b, i] * m[b, j]).sum() for b in range(2) for i, j in ((0, 1), (0, 2), (1, 2))]
    np.testing.assert_allclose(overlap(masks).item(), np.mean(pairs))


def test_the_loss_and_its_mutual_learning() -> None:
    torch.manual_seed(0)
    network = MPANet(SETTING)
    with torch.no_grad():
        for layer in (network.classifier, *network.alone.values(), *network.slow.values()):
            layer.weight.normal_(std=0.05)
    network.eval()  # the slow copies stand still
    images, labels = batch()
    found = network.loss(images, labels).item()

    normal, expected = {}, 0.0
    vectors, masks = network.both(torch.cat(list(images.values())))
    every = labels.repeat(3)
    joint = network.neck(vectors)
    smoothing = network.smoothing
    expected += functional.cross_entropy(
        network.classifier(joint), every, label_smoothing=smoothing
    ).item()
    expected += centre_cluster(vectors, every).item() + APART * overlap(masks).item()
    normal = dict(zip(images, joint.chunk(3), strict=True))
    alone, mutual = [], []
    for m, f in normal.items():
        own = network.alone[m](f)
        alone.append(functional.cross_entropy(own, labels, label_smoothing=smoothing).item())
        p = own.softmax(dim=1)
        for k in images:
            if k != m:
                q = network.slow[k](f).softmax(dim=1)
                mutual.append((p * (p / q).log()).sum(dim=1).mean().item())
    expected += ALONE * np.mean(alone) + MUTUAL * np.mean(mutual)
    assert np.mean(mutual) > 1e-4
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_slow_copies_follow_in_training_and_do_not_learn() -> None:
    torch.manual_seed(0)
    network = MPANet(SETTING).train()
    for m in network.modalities:
        assert torch.equal(network.slow[m].weight, network.alone[m].weight)
    with torch.no_grad():
        network.alone["nir"].weight.add_(1.0)
    before, fast = network.slow["nir"].weight.clone(), network.alone["nir"].weight.clone()
    images, labels = batch()
    network.loss(images, labels).backward()
    torch.testing.assert_close(
        network.slow["nir"].weight, SLOWNESS * before + (1 - SLOWNESS) * fast.detach()
    )
    assert network.slow["nir"].weight.grad is None


@torch.no_grad()
def test_patterns_pool_the_map_by_their_masks() -> None:
    torch.manual_seed(0)
    network = MPANet(SETTING).eval()
    images, _ = batch()
    vectors, masks = network.both(images["rgb"])
    assert masks.shape[1] == PATTERNS
    assert vectors.shape == (len(masks), network.dim) == (len(masks), 7 * 512)
    x = network.backbone.stem(images["rgb"])
    for i, stage in enumerate(network.backbone.stages):
        x = stage(x)
        if i >= 2:
            x = network.alleviate[i - 2](x)
    for p in range(PATTERNS):
        part = (masks[:, p : p + 1] * x).mean((2, 3))
        torch.testing.assert_close(vectors[:, 512 * p : 512 * (p + 1)], part)
    torch.testing.assert_close(vectors[:, 512 * PATTERNS :], x.mean((2, 3)))
