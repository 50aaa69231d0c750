"""What a network costs, against networks whose cost is known."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from torch import Tensor, nn

from denet.graph import RGB_NIR_TIR, Modality, State
from denet.model import DENet
from denet.rivals.complexity import complexity
from export.engines import engine_graphs
from tests.denet.rivals.settings import RECIPE, SIZE


@dataclass
class Output:
    embedding: Tensor


class Known(nn.Module):
    """A 3x3 convolution for each modality, a linear layer for nir alone, and a classifier that no
    embedding needs."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleDict(
            {m: nn.Conv2d(3, 4, 3, padding=1) for m in RGB_NIR_TIR.modalities}
        )
        self.only_nir = nn.Linear(4, 4)
        self.classifier = nn.Linear(4, 1000)

    def forward(self, images: dict[Modality, Tensor], state: State) -> Output:
        total = sum(self.convs[m](images[m]).mean((2, 3)) for m in state.available)
        assert isinstance(total, Tensor)
        return Output(self.only_nir(total) if state == RGB_NIR_TIR.parse("nir") else total)


def test_operations_of_one_sample_and_parameters_of_any_state() -> None:
    found = complexity(Known, RGB_NIR_TIR, (8, 4))
    assert found.gflop * 1e9 == pytest.approx(3 * 2 * 8 * 4 * 4 * 3 * 9)
    assert found.parameters * 1e6 == pytest.approx(3 * (4 * 3 * 9 + 4) + 4 * 4 + 4)


def test_denets_cost_is_that_of_its_engines() -> None:
    found = complexity(lambda: DENet(RECIPE.model), RGB_NIR_TIR, SIZE)
    graphs = engine_graphs(DENet(RECIPE.model).eval())
    plan = RGB_NIR_TIR.plan(RGB_NIR_TIR.complete, None, "dynamic")
    flops = {graph.name: graph.flops() for graph in graphs}
    assert found.gflop * 1e9 == pytest.approx(sum(flops[e] for e in plan.engines), rel=0.01)
