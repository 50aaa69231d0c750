"""One edge s -> t of the dynamic enhancement module, in the form that pooling allows.

Paper, Eq. 5-6, on flattened features (C, N), N = h * w, without softmax:

    K = W_k F_s + b_k,  V = W_v F_s + b_v,  Q = W_q F_t + b_q,  E = W_o (V (K^T Q) / N) + b_o

Everything behind the edges is GAP and concatenation, and E is linear in F_t. So only the pooled
target g_t matters, and products associate. With q = W_q g_t + b_q (a vector):

    a = F_s^T (W_k^T q) / N + (b_k . q) / N          (N)
    GAP(E) = W_o (W_v (F_s a) + b_v sum(a)) + b_o    (C)

In training E is batch-normalized, as the last step of non-local blocks commonly is. Without a
softmax E is cubic in the features, and an edge that may grow freely throws training off its
course. Batch statistics are constants afterwards, so the norm is part of W_o and b_o then.

This is exact: the tests compare it with the form above in float64. It never makes K, V or Q of
a whole map, and the target's map is not needed at all, so a recovered feature can be a vector.
"""

from __future__ import annotations

import copy
import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_linear_bn_eval


class DemOutput(NamedTuple):
    """The target vectors that an edge has enhanced."""

    enhanced: Tensor  # (T, B, C)


class DEMEdge(nn.Module):
    """`enhanced` = `sum` + GAP(E_{s->t}), for T target vectors of each sample at once.

    Args:
        channels: C of the features.
        width: c, the channels of key, value and query; the paper takes c < C.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(channels, width)
        self.key = nn.Linear(channels, width)
        self.value = nn.Linear(channels, width)
        self.out = nn.Linear(width, channels)
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, feature: Tensor, base: Tensor, sum: Tensor) -> DemOutput:  # noqa: A002
        """
        Args:
            feature: F_s, (B, C, h, w).
            base: T pooled features of the target, (T, B, C).
            sum: what the edges before this one made of them, (T, B, C).
        """
        source = feature.flatten(2)  # (B, C, N)
        # Divided here and not behind the product, which then stays within what FP16 can hold.
        query = self.query(base).transpose(0, 1) / source.shape[2]  # (B, T, c)
        key = query @ self.key.weight  # (B, T, C): W_k^T q
        bias = query @ self.key.bias  # (B, T): b_k . q
        weights = torch.bmm(key, source) + bias.unsqueeze(2)  # (B, T, N)
        mixed = torch.bmm(weights, source.transpose(1, 2))  # (B, T, C): F_s a
        value = functional.linear(mixed, self.value.weight)
        value = value + weights.sum(dim=2, keepdim=True) * self.value.bias
        enhancement = self.out(value).transpose(0, 1)  # (T, B, C)
        return DemOutput(sum + self.norm(enhancement.flatten(0, 1)).unflatten(0, base.shape[:2]))

    def folded(self) -> DEMEdge:
        """An equal edge in evaluation mode, whose norm is part of its last weights.

        What the norm divided by is divided by before the products, not behind them: E is cubic in
        the features, and what lies between would overflow FP16. A power of two, so it is exact.
        """
        edge = copy.deepcopy(self).eval()
        edge.out = fuse_linear_bn_eval(edge.out, edge.norm)
        edge.norm = nn.Identity()  # type: ignore[assignment]
        variance = self.norm.running_var
        assert variance is not None
        size = 2.0 ** round(math.log2(math.sqrt(float(variance.mean()))))
        with torch.no_grad():
            edge.query.weight.div_(size)
            edge.query.bias.div_(size)
            edge.out.weight.mul_(size)
        return edge
