"""DMML: deep meta metric learning (Chen, Zhang, Lu and Zhou, ICCV 2019).

Each batch is an episode: of the K samples of an identity, the last is a query and the others are
its support set S_i. A query q is classified by its distances from the sets (hard mining),

    D(q, S_i) = max over S_i of d   where q is of identity i,   min over S_i of d   elsewhere,
    L = mean_q -log( exp(-D(q, S_own)) / sum_i exp(-D(q, S_i)) ) + 0.0005 mean ||f||^2,

d the negative inner product, as in the published code. The feature is the pooled map of the
backbone. The paper's batches have 32 identities of 5 + 1 samples, ours are the recipe's (P of K).
Left out: the variant with the distance from the mean of a set.
"""

from __future__ import annotations

import torch
from torch import Tensor

from denet.branch import global_average
from denet.rivals.rival import Setting, SingleModality

REGULARIZATION = 0.002 * 0.25


def episode_loss(vectors: Tensor, labels: Tensor, instances: int) -> Tensor:
    """L of vectors (P K, D) whose identities stand together, K = `instances` at a time."""
    sets = vectors.reshape(-1, instances, vectors.shape[1])
    support, query = sets[:, :-1], sets[:, -1]
    distances = -torch.einsum("qd,isd->qis", query, support)
    own = labels.reshape(-1, instances)[:, 0]
    same = own[:, None] == own
    between = torch.where(same, distances.amax(dim=2), distances.amin(dim=2))
    logits = -between
    right = logits.diagonal() - logits.logsumexp(dim=1)
    return -right.mean() + REGULARIZATION * vectors.square().sum(dim=1).mean()


class DMML(SingleModality):
    """The network for one modality."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.backbone = setting.backbone()
        self.dim = self.backbone.channels
        self.instances = setting.train.instances

    def feature(self, image: Tensor) -> Tensor:
        return global_average(self.backbone(image))

    def loss(self, image: Tensor, labels: Tensor) -> Tensor:
        return episode_loss(self.feature(image), labels, self.instances)
