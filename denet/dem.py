"""One edge s -> t of the dynamic enhancement module, in the form that pooling allows.

Paper, Eq. 5-6, on flattened features (C, N), N = h * w, without softmax:

    K = W_k F_s + b_k,  V = W_v F_s + b_v,  Q = W_q F_t + b_q,  E = W_o (V (K^T Q) / N) + b_o

Everything behind the edges is GAP and concatenation, and E is linear in F_t. So only the pooled
target g_t matters, and products associate. With q = W_q g_t + b_q (a vector):

    a = F_s^T (W_k^T q) / N + (b_k . q) / N          (N)
    GAP(E) = W_o (W_v (F_s a) + b_v sum(a)) + b_o    (C)

In training E may be batch-normalized, as the last step of non-local blocks commonly is
(`edge_norm` of `denet.config.ModelConfig`; the paper names no such norm). Without a softmax E is
cubic in the features, and an edge that may grow freely throws training off its course. Batch
statistics are constants afterwards, so the norm is part of W_o and b_o then.

This is exact: the tests compare it with the form above in float64. It never makes K, V or Q of
a whole map, and the target's map is not needed at all, so a recovered feature can be a vector.

Eq. 5 does not say which axes its two products sum over. `TransposedEdge` is the other reading,
for comparison: E = W_o ((Q K^T) V / N) + b_o, a product of channels with channels.
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
        width: c, the channels of key, value and query.
        norm: end in batch normalization.
    """

    norm: nn.BatchNorm1d | nn.Identity

    def __init__(self, channels: int, width: int, *, norm: bool = True) -> None:
        super().__init__()
        self.query = nn.Linear(channels, width)
        self.key = nn.Linear(channels, width)
        self.value = nn.Linear(channels, width)
        self.out = nn.Linear(width, channels)
        self.norm = nn.BatchNorm1d(channels) if norm else nn.Identity()

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
        return self._added(sum, self.out(value).transpose(0, 1))

    def _added(self, sum: Tensor, enhancement: Tensor) -> DemOutput:  # noqa: A002
        """What is enhanced, from both as (T, B, C)."""
        made = self.norm(enhancement.flatten(0, 1)).unflatten(0, enhancement.shape[:2])
        return DemOutput(sum + made)

    def silence(self) -> None:
        """Let it add nothing, until it has learned something."""
        last = self.out if isinstance(self.norm, nn.Identity) else self.norm
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def folded(self) -> DEMEdge:
        """An equal edge in evaluation mode, whose norm is part of its last weights.

        What the norm divided by is divided by before the products, not behind them: E is cubic in
        the features, and what lies between would overflow FP16. A power of two, so it is exact.
        """
        edge = copy.deepcopy(self).eval()
        if isinstance(edge.norm, nn.Identity):
            return edge
        edge.out = fuse_linear_bn_eval(edge.out, edge.norm)
        variance = edge.norm.running_var
        edge.norm = nn.Identity()
        assert variance is not None
        size = 2.0 ** round(math.log2(math.sqrt(float(variance.mean()))))
        with torch.no_grad():
            edge.query.weight.div_(size)
            edge.query.bias.div_(size)
            edge.out.weight.mul_(size)
        return edge


class TransposedEdge(DEMEdge):
    """`enhanced` = `sum` + GAP(E_{s->t}) by the other reading of Eq. 5.

    That is E = W_o ((Q K^T) V / N) + b_o. E is linear in V then, so the source is pooled,
    v = W_v g_s + b_v, and the target is not:

        a = F_s^T (W_k^T v) / N + (b_k . v) / N          (N)
        GAP(E) = W_o (W_q (F_t a) + b_q sum(a)) + b_o    (C)

    Position p of one modality meets position p of the other here, and a recovered feature has to
    be a map.
    """

    def forward(self, feature: Tensor, base: Tensor, sum: Tensor) -> DemOutput:  # noqa: A002
        """
        Args:
            feature: F_s, (B, C, h, w).
            base: F_t, T maps of the target, (T, B, C, h, w).
            sum: what the edges before this one made of them, pooled, (T, B, C).
        """
        source = feature.flatten(2)  # (B, C, N)
        value = self.value(source.mean(dim=2)) / source.shape[2]  # (B, c)
        key = (value @ self.key.weight).unsqueeze(1)  # (B, 1, C): W_k^T v
        bias = (value @ self.key.bias)[:, None, None]  # (B, 1, 1): b_k . v
        weights = (torch.bmm(key, source) + bias).squeeze(1)  # (B, N)
        mixed = torch.einsum("tbcn,bn->tbc", base.flatten(3), weights)  # F_t a
        query = functional.linear(mixed, self.query.weight)
        query = query + weights.sum(dim=1)[None, :, None] * self.query.bias
        return self._added(sum, self.out(query))
