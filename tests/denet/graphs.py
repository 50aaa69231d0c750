"""Graphs of one to four modalities, and the contract of their engine names.

The names are spelled out, so that no test takes them apart.
"""

from __future__ import annotations

from typing import Any

import pytest

from denet.graph import RGB_NIR_TIR, Graph

NAMES = ("rgb", "nir", "tir")
GRAPHS = (Graph(("rgb",)), Graph(("rgb", "tir")), RGB_NIR_TIR, Graph((*NAMES, "uv")))


def named(graph: Graph) -> str:
    return f"{len(graph.modalities)} modalities"


def states_of(graph: Graph) -> list[Any]:
    """A parameter for each state, named by it."""
    own = "" if graph == RGB_NIR_TIR else f" of {graph.complete}"
    return [pytest.param(graph, state, id=f"{state}{own}") for state in graph.states]


every_graph = pytest.mark.parametrize("graph", GRAPHS, ids=named)
every_state = pytest.mark.parametrize(
    ("graph", "state"), [each for graph in GRAPHS for each in states_of(graph)]
)


def branches(graph: Graph) -> dict[str, str]:
    """The engines of the branches, each with its modality."""
    return {f"branch_{m}": m for m in graph.modalities}


def edges(kind: str, graph: Graph) -> dict[str, tuple[str, str]]:
    """The engines of all directions, each with its source and its target."""
    return {f"{kind}_{s}2{t}": (s, t) for s in graph.modalities for t in graph.modalities if s != t}
