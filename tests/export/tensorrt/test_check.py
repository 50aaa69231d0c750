"""Which states make every engine run when built engines are compared with their ONNX files."""

from __future__ import annotations

import pytest

from denet.graph import RGB_NIR_TIR, Graph
from export.tensorrt.check import covering_states


def test_of_each_anchor_the_largest_state() -> None:
    assert [s.name for s in covering_states(RGB_NIR_TIR)] == ["rgb+nir+tir", "nir+tir", "tir"]


@pytest.mark.parametrize("modalities", [("rgb",), ("tir", "rgb"), ("a", "b", "c", "d")])
def test_their_plans_have_all_engines(modalities: tuple[str, ...]) -> None:
    graph = Graph(modalities)
    states = covering_states(graph)
    assert [state.anchor for state in states] == list(modalities)
    assert {e for s in states for e in graph.plan(s).engines} == set(graph.engines)
