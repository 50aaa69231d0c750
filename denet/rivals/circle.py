"""Circle loss (Sun et al., CVPR 2020), on the pooled map of the backbone.

With the cosines s_p of all pairs of an identity and s_n of all others in the batch (its Eq. 6),

    L = log(1 + sum_n exp(gamma a_n (s_n - m)) sum_p exp(-gamma a_p (s_p - 1 + m))),
    a_p = max(1 + m - s_p, 0),   a_n = max(s_n + m, 0),

anchor by anchor. It is pytorch-metric-learning's, with the paper's constants for pairs, m = 0.4 and
gamma = 80. Left out: its form for class labels.
"""

from __future__ import annotations

from pytorch_metric_learning.losses import CircleLoss
from torch import Tensor

from denet.branch import global_average
from denet.rivals.rival import Setting, SingleModality

MARGIN, GAMMA = 0.4, 80.0


class Circle(SingleModality):
    """The network for one modality."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.backbone = setting.backbone()
        self.dim = self.backbone.channels
        self.circle = CircleLoss(m=MARGIN, gamma=GAMMA)

    def feature(self, image: Tensor) -> Tensor:
        return global_average(self.backbone(image))

    def loss(self, image: Tensor, labels: Tensor) -> Tensor:
        loss: Tensor = self.circle(self.feature(image).float(), labels)
        return loss
