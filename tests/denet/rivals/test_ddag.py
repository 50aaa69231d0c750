"""DDAG: part and graph attention by loops, and a weight that follows the epochs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from denet.rivals.ddag import DDAG, PARTS, GraphAttention, PartAttention
from tests.denet.networks import randomized
from tests.denet.rivals.settings import SETTING, batch, double


def softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum()


@torch.no_grad()
def test_part_attention_is_the_papers_equation() -> None:
    torch.manual_seed(0)
    attention = randomized(PartAttention(4))
    assert isinstance(attention, PartAttention)
    attention.weights.copy_(torch.tensor([0.1, 0.9, -0.3]))
    stripes, feature = double(2, 4, PARTS), double(2, 4, seed=1)

    def linear(layer: torch.nn.Linear, x: Tensor) -> np.ndarray:
        return (layer.weight @ x + layer.bias).numpy()

    gates = softmax(attention.weights.numpy())
    expected = np.zeros((2, 4))
    for b in range(2):
        parts = [stripes[b, :, i] for i in range(PARTS)]
        u, v, z = ([linear(w, x) for x in parts] for w in (attention.u, attention.v, attention.z))
        total = feature[b].numpy().copy()
        for i in range(PARTS):
            a = softmax(np.array([u[i] @ v[j] for j in range(PARTS)]))
            total += gates[i] * sum(a[j] * z[j] for j in range(PARTS))
        expected[b] = total
    norm = attention.norm
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    expected = (expected - norm.running_mean.numpy()) * scale.numpy() + norm.bias.numpy()
    np.testing.assert_allclose(attention(stripes, feature).numpy(), expected)


@torch.no_grad()
def test_graph_attention_looks_along_the_edges_alone() -> None:
    torch.manual_seed(0)
    head = GraphAttention(4, 3).double().eval()
    nodes, labels = double(5, 4), torch.tensor([0, 1, 0, 1, 2])
    graph = labels[:, None] == labels
    h = (nodes @ head.weight.weight.T).numpy()
    a = np.concatenate([head.source.weight.numpy(), head.target.weight.numpy()], axis=1)[0]
    expected = np.zeros((5, 3))
    for i in range(5):
        edges = [j for j in range(5) if graph[i, j]]
        e = np.array([np.concatenate([h[i], h[j]]) @ a for j in edges])
        weights = softmax(np.where(e > 0, e, 0.2 * e))
        expected[i] = sum(w * h[j] for w, j in zip(weights, edges, strict=True))
    np.testing.assert_allclose(head(nodes, graph).numpy(), expected, atol=1e-12)


def test_the_graph_counts_as_much_as_the_parts_of_the_epoch_before_allow() -> None:
    torch.manual_seed(0)
    network = DDAG(SETTING).train()
    images, labels = batch()
    network.begin_epoch()
    assert network.graph_weight.item() == 0
    parts = [network.loss(images, labels).item() for _ in range(2)]  # the graph counts nothing yet
    network.begin_epoch()
    assert network.graph_weight.item() == pytest.approx(1 / (1 + np.mean(parts)), rel=1e-5)
    assert network.loss(images, labels).item() > 0
    # It is part of the state, so a run that is resumed has it.
    assert {"graph_weight", "part_loss"} <= set(network.state_dict())


@torch.no_grad()
def test_each_modality_has_a_stem_and_shares_the_stages() -> None:
    torch.manual_seed(0)
    network = DDAG(SETTING).eval()
    images, _ = batch()
    pooled, normal, attended = network.three(images)
    rows = 3 * len(images["rgb"])
    assert pooled.shape == normal.shape == attended.shape == (rows, 512)
    alone = network.stages(network.stems["nir"](images["nir"])).mean((2, 3))
    torch.testing.assert_close(pooled[rows // 3 : 2 * rows // 3], alone, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(network.feature(images["tir"], "tir"), attended[-rows // 3 :],
                               atol=1e-5, rtol=1e-4)  # fmt: skip
