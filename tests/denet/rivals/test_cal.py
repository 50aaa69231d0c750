"""CAL: attention pooling by loops, and the effect of the attention on the prediction."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from denet.rivals.cal import CAL, MAPS, attention_pooled
from tests.denet.rivals.settings import SETTING, batch, double


def test_attention_pooling_is_the_papers_equation() -> None:
    feature, attention = double(2, 3, 4, 2), double(2, 5, 4, 2, seed=1).relu()
    found = attention_pooled(feature, attention).numpy()
    for b in range(2):
        values = np.array(
            [[(attention[b, m] * feature[b, c]).mean().item() for c in range(3)] for m in range(5)]
        ).ravel()
        rooted = np.sign(values) * np.sqrt(np.abs(values))
        np.testing.assert_allclose(found[b], rooted / np.linalg.norm(rooted), atol=1e-5)


def test_the_loss_has_the_effect_of_the_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = CAL(SETTING).eval()
    images, labels = batch()
    image = images["rgb"]
    x = network.backbone(image)
    fake = torch.rand(len(labels), MAPS, *x.shape[2:])
    monkeypatch.setattr(torch, "rand_like", lambda _: fake)
    found = network.loss(image, labels)

    feature = network.feature(image)
    logits = network.head(feature)
    without = network.head(network.reduce(attention_pooled(x, 2 * fake)))
    triplet = network.triplet(feature, labels)
    expected = (
        functional.cross_entropy(logits, labels, label_smoothing=network.smoothing)
        + functional.cross_entropy(logits - without, labels, label_smoothing=network.smoothing)
        + triplet
    )
    torch.testing.assert_close(found, expected)
    assert network.dim == feature.shape[1] == 512
