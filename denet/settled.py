"""Batch normalization of a batch that has too few values for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

LEAST_VALUES = 2
"""That batch normalization needs in training."""


@contextmanager
def settled(module: nn.Module, values: int) -> Iterator[None]:
    """Batch normalization in `module` as in evaluation, where it would see too few `values`: on the
    statistics that it has, which stay as they are."""
    norms: list[_BatchNorm] = []
    if values < LEAST_VALUES:
        norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.training]
    for norm in norms:
        norm.eval()
    try:
        yield
    finally:
        for norm in norms:
            norm.train()
