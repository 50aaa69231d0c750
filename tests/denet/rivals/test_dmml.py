"""DMML: the loss of an episode by loops."""

from __future__ import annotations

import numpy as np
import torch

from denet.rivals.dmml import episode_loss
from tests.denet.rivals.settings import double


def test_the_loss_of_an_episode_is_the_papers_equation() -> None:
    identities, each = 4, 3
    vectors = double(identities * each, 5)
    labels = torch.tensor([7, 2, 5, 1]).repeat_interleave(each)
    f = vectors.numpy().reshape(identities, each, 5)
    terms = []
    for q in range(identities):
        query = f[q, -1]
        distances = []
        for i in range(identities):
            d = [-query @ f[i, s] for s in range(each - 1)]
            distances.append(max(d) if i == q else min(d))
        odds = np.exp(-np.array(distances))
        terms.append(-np.log(odds[q] / odds.sum()))
    expected = np.mean(terms) + 0.0005 * np.mean((vectors.numpy() ** 2).sum(axis=1))
    np.testing.assert_allclose(episode_loss(vectors, labels, each).item(), expected)


def test_what_is_far_from_others_and_near_to_itself_costs_nothing() -> None:
    vectors = 10 * torch.eye(3, dtype=torch.float64).repeat_interleave(2, dim=0)
    labels = torch.arange(3).repeat_interleave(2)
    assert episode_loss(vectors, labels, 2).item() < 0.0005 * 100 + 1e-9
    assert episode_loss(vectors.roll(1, 0), labels, 2).item() > 1
