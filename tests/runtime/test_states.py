"""States as files name them."""

from __future__ import annotations

import pytest

from denet.graph import RGB_NIR_TIR, Graph, StateError
from runtime.states import read_state


def test_a_state_is_read_as_its_graph_wrote_it() -> None:
    for graph in (RGB_NIR_TIR, Graph(("tir", "rgb")), Graph(("nir",))):
        for state in graph.states:
            assert read_state(state.name) == state
            assert read_state(state.name.upper().replace("+", " + ")) == state


@pytest.mark.parametrize("name", ["", "uv", "rgb+uv", "rgb+rgb", "rgb+", "+", "rgb,nir"])
def test_what_names_no_state_is_refused(name: str) -> None:
    with pytest.raises(StateError, match="unknown state"):
        read_state(name)
