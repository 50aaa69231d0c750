"""What a network costs: operations of one sample, and parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from denet.graph import Graph


@dataclass(frozen=True)
class Complexity:
    """The cost of an embedding.

    Attributes:
        gflop: billions of operations for one complete sample; an addition and a multiplication are
            two. Counted by torch, which sees convolutions and matrix products.
        parameters: millions that an embedding depends on in some state; what only training needs,
            such as classifiers, does not count.
    """

    gflop: float
    parameters: float


def complexity(build: Callable[[], nn.Module], graph: Graph, size: tuple[int, int]) -> Complexity:
    """The cost of the network that `build` makes; nothing is computed.

    Args:
        build: makes a network that is called as `denet.model.DENet` is, without loading weights.
        graph: of its modalities.
        size: height and width of its images.
    """
    with torch.device("meta"):  # tensors there have shapes and no data
        network = build().eval()
        images = {m: torch.empty(2, 3, *size) for m in graph.modalities}
    for state in graph.states:
        network({m: images[m] for m in state.available}, state).embedding.sum().backward()
    used = sum(p.numel() for p in network.parameters() if p.grad is not None)
    one = {m: image[:1] for m, image in images.items()}
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(one, graph.complete)
    return Complexity(counter.get_total_flops() / 1e9, used / 1e6)
