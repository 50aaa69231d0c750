"""Networks with other statistics or another configuration, and their comparison."""

from __future__ import annotations

import copy

import msgspec
import torch
from torch import nn

from denet.config import ModelConfig
from denet.graph import Graph
from denet.model import DENet


def config_of(graph: Graph, like: ModelConfig, **changes: object) -> ModelConfig:
    """The configuration of a network of the modalities of `graph`, else as `like`."""

    class Config(ModelConfig, frozen=True, kw_only=True):
        @property
        def graph(self) -> Graph:
            return graph

    return Config(**msgspec.structs.asdict(like) | changes)


def randomized(module: nn.Module) -> nn.Module:
    """In float64 and evaluation mode, with batch statistics and affines that do something."""
    for norm in module.modules():
        if isinstance(norm, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 2)
            if norm.affine:
                nn.init.uniform_(norm.weight, 0.5, 2)
                nn.init.normal_(norm.bias)
    return module.double().eval()


def variant(model: DENet, **changes: object) -> DENet:
    """The same modules, to be replaced one by one, under a changed configuration."""
    changed = copy.copy(model)
    changed._modules = dict(model._modules)
    changed.config = msgspec.structs.replace(model.config, **changes)
    return changed


def equal_weights(one: nn.Module, other: nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)
