"""The engines that are exported: one small module for each kind of them.

The network computes in the exact collapsed form already (`denet.cmft`, `denet.dem`); these
modules only choose what goes in and out, and say so with shapes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from denet.branch import Branch, global_average
from denet.cmft import CMFT
from denet.dem import DEMEdge
from denet.graph import MAX_TARGETS, STACKED
from denet.model import DENet

Shape = tuple[int | str, ...]

BATCH, PLATFORMS = "B", "T"
"""Names of the dynamic axes: samples, and target vectors of an edge."""


class BranchEngine(nn.Module):
    """image (B, 3, H, W) -> feature (B, C, h, w), pooled (B, C)."""

    def __init__(self, branch: Branch) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        output = self.branch(image)
        return output.feature, output.pooled


class CmftEngine(nn.Module):
    """feature of a (B, C, h, w) -> pooled recovered feature of b (B, C)."""

    def __init__(self, cmft: CMFT) -> None:
        super().__init__()
        self.up, self.down, self.last = cmft.up.in_blocks(), cmft.down, cmft.down.linear()

    def forward(self, feature: Tensor) -> Tensor:
        pooled: Tensor = self.last(global_average(self.down(self.up(feature))))
        return pooled


class DemEngine(nn.Module):
    """feature of s (B, C, h, w), base and sum of t (T, B, C) -> enhanced (T, B, C)."""

    def __init__(self, edge: DEMEdge) -> None:
        super().__init__()
        self.edge = edge.folded()

    def forward(self, feature: Tensor, base: Tensor, sum: Tensor) -> Tensor:  # noqa: A002
        enhanced: Tensor = self.edge(feature, base, sum).enhanced
        return enhanced


@dataclass(frozen=True)
class EngineGraph:
    """An engine to export: its module, and its inputs and outputs in order with their shapes."""

    name: str
    module: nn.Module
    inputs: dict[str, Shape]
    outputs: dict[str, Shape]

    def example(self, batch: int, targets: int, seed: int = 0) -> dict[str, Tensor]:
        """Random inputs for `batch` samples and, for an edge, `targets` vectors of each."""
        generator = torch.Generator().manual_seed(seed)
        sizes = {BATCH: batch, PLATFORMS: targets}
        return {
            name: torch.randn(
                [d if isinstance(d, int) else sizes[d] for d in shape], generator=generator
            )
            for name, shape in self.inputs.items()
        }

    def flops(self) -> int:
        """Floating-point operations at batch 1 and one target; an addition and a
        multiplication are two. Counted by torch."""
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            self.module(**self.example(1, 1))
        return int(counter.get_total_flops())


def engine_graphs(model: DENet) -> list[EngineGraph]:
    """The engines of `model`, in the order of its graph."""
    height, width = model.config.image_size
    feature: Shape = (BATCH, model.channels, *model.feature_size)
    vector: Shape = (BATCH, model.channels)
    vectors: Shape = (PLATFORMS, *vector)
    graphs = []
    for name in model.graph.engines:
        component = model.engines[name]
        if isinstance(component, Branch):
            graph = EngineGraph(
                name,
                BranchEngine(component),
                {"image": (BATCH, 3, height, width)},
                {"feature": feature, "pooled": vector},
            )
        elif isinstance(component, CMFT):
            graph = EngineGraph(
                name, CmftEngine(component), {"feature": feature}, {"pooled": vector}
            )
        else:
            assert isinstance(component, DEMEdge)
            graph = EngineGraph(
                name,
                DemEngine(component),
                {"feature": feature, "base": vectors, "sum": vectors},
                {"enhanced": vectors},
            )
        graph.module.eval()
        graphs.append(graph)
    return graphs


def target_range(graph: EngineGraph) -> range:
    """How many targets the engine may get: 1 or 2 for an edge, else it has no such axis."""
    return range(1, MAX_TARGETS + 1) if STACKED.intersection(graph.inputs) else range(1, 2)
