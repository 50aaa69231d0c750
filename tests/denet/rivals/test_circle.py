"""Circle loss: pytorch-metric-learning's against the paper's equation."""

from __future__ import annotations

import numpy as np
import torch

from denet.rivals.circle import Circle
from tests.denet.rivals.settings import SETTING, double


def test_the_loss_is_the_papers_equation() -> None:
    m, gamma = 0.4, 80.0
    vectors, labels = double(6, 4), torch.tensor([0, 0, 1, 1, 2, 2])
    unit = (vectors / vectors.norm(dim=1, keepdim=True)).numpy()
    cosines = unit @ unit.T
    terms = []
    for a in range(6):
        positive = [cosines[a, b] for b in range(6) if b != a and labels[a] == labels[b]]
        negative = [cosines[a, b] for b in range(6) if labels[a] != labels[b]]
        p = sum(np.exp(-gamma * max(1 + m - s, 0) * (s - (1 - m))) for s in positive)
        n = sum(np.exp(gamma * max(s + m, 0) * (s - m)) for s in negative)
        terms.append(np.log1p(n * p))
    circle = Circle(SETTING).circle
    np.testing.assert_allclose(circle(vectors, labels).item(), np.mean(terms), rtol=1e-6)
