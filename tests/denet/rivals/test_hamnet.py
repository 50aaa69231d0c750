"""HAMNet: fusion weights and scores by loops, coherence, and a stream that is missing."""

from __future__ import annotations

import numpy as np
import torch

from denet.graph import RGB_NIR_TIR
from denet.rivals.hamnet import HAMNet, fusion_weights, incoherence
from tests.denet.rivals.settings import SETTING, batch, double


def test_fusion_follows_the_class_activation_maps() -> None:
    activations = double(2, 3, 4, 5, 2).sigmoid()  # samples, streams, identities, places
    weights, scores = fusion_weights(activations)
    a = activations.numpy()
    for b in range(2):
        strength = a[b].sum(axis=(2, 3))
        peak = a[b].max(axis=0).sum(axis=(1, 2))
        for m in range(3):
            expected = sum(
                peak[c] / peak.sum() * strength[m, c] / strength[:, c].sum() for c in range(4)
            )
            np.testing.assert_allclose(weights[b, m].item(), expected)
        for c in range(4):
            mixed = sum(strength[m, c] / strength[:, c].sum() * strength[m, c] for m in range(3))
            np.testing.assert_allclose(scores[b, c].item(), peak[c] / peak.sum() * mixed)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(2, dtype=torch.float64))


def test_coherence_is_one_less_the_cosine_of_each_pair() -> None:
    scores = [double(3, 4, seed=i) for i in range(3)]
    total = 0.0
    for i in range(3):
        for a, b in ((0, 1), (0, 2), (1, 2)):
            x, y = scores[a][i].numpy(), scores[b][i].numpy()
            total += 1 - x @ y / np.linalg.norm(x) / np.linalg.norm(y)
    np.testing.assert_allclose(incoherence(scores).item(), total)
    assert incoherence(scores[:1]).item() == 0
    assert incoherence([scores[0], 3 * scores[0]]).item() < 1e-12


@torch.no_grad()
def test_a_missing_stream_takes_no_part() -> None:
    torch.manual_seed(0)
    network = HAMNet(SETTING).eval()
    images, _ = batch()
    alone = network.features(images, RGB_NIR_TIR.parse("nir"))
    torch.testing.assert_close(alone, network.streams["nir"](images["nir"]).mean((2, 3)))
    maps = {m: network.streams[m](images[m]) for m in ("rgb", "tir")}
    weights, _ = fusion_weights(
        torch.stack([network.activations[m](f).sigmoid() for m, f in maps.items()], dim=1)
    )
    expected = sum(weights[:, i, None] * f.mean((2, 3)) for i, f in enumerate(maps.values()))
    torch.testing.assert_close(network.features(images, RGB_NIR_TIR.parse("rgb+tir")), expected)
