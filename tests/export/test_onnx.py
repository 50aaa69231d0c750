"""One program for engines of one kind, and nothing of the exporters in what is exported."""

from __future__ import annotations

import onnx
import pytest
from torch import Tensor, nn

from denet.model import DENet
from export.engines import BATCH, EngineGraph, engine_graphs
from export.onnx import Traced, to_onnx
from runtime import Bundle


@pytest.mark.parametrize("engine", ["branch_tir", "cmft_tir2nir", "dem_tir2nir"])
def test_an_engine_that_took_the_program_of_another_is_as_if_traced_alone(
    model: DENet, bundle: Bundle, engine: str
) -> None:
    (graph,) = (graph for graph in engine_graphs(model) if graph.name == engine)
    assert to_onnx(graph, {}) == bundle.read_engine(engine, "fp32")


def test_modules_with_equal_weights_but_other_settings_share_no_program() -> None:
    traced: Traced = {}
    shape = {"image": (BATCH, 3, 4, 4)}
    found = [
        onnx.load_from_string(to_onnx(EngineGraph("x", module, shape, {"out": out}), traced))
        for module, out in (
            (Named(nn.Conv2d(3, 5, 3, padding=1)), (BATCH, 5, 4, 4)),
            (Named(nn.Conv2d(3, 5, 3, padding=1, dilation=1)), (BATCH, 5, 4, 4)),
            (Named(nn.Conv2d(3, 5, 3, padding=2, dilation=2)), (BATCH, 5, 4, 4)),
        )
    ]
    assert len(traced) == 2
    dilations = [
        next(a.ints for a in model.graph.node[0].attribute if a.name == "dilations")
        for model in found
    ]
    assert [list(d) for d in dilations] == [[1, 1], [1, 1], [2, 2]]


def test_an_export_logs_nothing_of_the_exporters(caplog: pytest.LogCaptureFixture) -> None:
    """Some libraries set the root logger to INFO when they are imported."""
    caplog.set_level("INFO")
    graph = EngineGraph(
        "x", Named(nn.Conv2d(3, 5, 1)), {"image": (BATCH, 3, 4, 4)}, {"out": (BATCH, 5, 4, 4)}
    )
    to_onnx(graph, {})
    assert not caplog.records


class Named(nn.Module):
    """A module whose input is called `image`."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.inner(image)
        return out
