"""HC loss: distances of centres by loops, stripes, and one space for all modalities."""

from __future__ import annotations

import numpy as np
import torch

from denet.graph import RGB_NIR_TIR
from denet.rivals.hc_loss import LAMBDA, STRIPES, WIDTH, HCLoss, hetero_centre
from denet.rivals.heads import centres
from tests.denet.rivals.settings import SETTING, batch, double


def test_centres_of_an_identity_come_near_each_other() -> None:
    one, other = double(5, 3), double(5, 3, seed=1)
    labels = torch.tensor([4, 2, 4, 2, 4])
    a, b = one.numpy(), other.numpy()
    rows = {2: [1, 3], 4: [0, 2, 4]}
    apart = [((a[r].mean(axis=0) - b[r].mean(axis=0)) ** 2).sum() for r in rows.values()]
    np.testing.assert_allclose(hetero_centre(one, other, labels).item(), np.sum(apart))
    middle, place = centres(one, labels)
    np.testing.assert_allclose(middle.numpy(), [a[r].mean(axis=0) for r in rows.values()])
    assert place.tolist() == [1, 0, 1, 0, 1]


def test_the_loss_is_that_of_every_stripe_in_every_modality() -> None:
    torch.manual_seed(0)
    network = HCLoss(SETTING).eval()
    images, labels = batch()
    parts = network.stripes(images)
    expected = 0.0
    for i in range(STRIPES):
        _, _, linear = network.classifiers[i]
        for m, stripes in parts.items():
            stripe = stripes[i]
            assert stripe.shape == (len(labels), WIDTH)
            logits = linear(torch.where(stripe > 0, stripe, 0.1 * stripe))
            expected += torch.nn.functional.cross_entropy(logits, labels).item() / 3
            for n, others in parts.items():
                if m != n:  # both ways: the mean is the same
                    a, b = (x / x.norm(dim=1, keepdim=True) for x in (stripe, others[i]))
                    expected += LAMBDA * hetero_centre(a, b, labels).item() / 6
    np.testing.assert_allclose(network.loss(images, labels).item(), expected, rtol=1e-5)
    feature = network.feature(images["tir"], "tir")
    unit = [x / x.norm(dim=1, keepdim=True) for x in parts["tir"]]
    torch.testing.assert_close(feature, torch.cat(unit, dim=1))
    assert network.dim == feature.shape[1]
    assert len(network.streams) == len(RGB_NIR_TIR.modalities)
