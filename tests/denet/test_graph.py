"""Graphs of one to four modalities: their states, their engines, and what is none."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denet.graph import (
    RGB_NIR_TIR,
    Component,
    Graph,
    State,
    StateError,
    branch_engine,
    cmft_engine,
    component,
    dem_engine,
    kind_of,
)
from tests.denet.graphs import GRAPHS, NAMES, branches, edges, every_graph, every_state
from tests.paths import ROOT


@every_graph
def test_the_states_are_the_nonempty_subsets_and_the_complete_one_is_first(graph: Graph) -> None:
    names, states = graph.modalities, graph.states
    subsets = {
        frozenset(m for i, m in enumerate(names) if bits >> i & 1)
        for bits in range(1, 2 ** len(names))
    }
    assert len(states) == len(set(states)) == 2 ** len(names) - 1
    assert {frozenset(s.available) for s in states} == subsets
    assert all(list(s.available) == [m for m in names if m in s.available] for s in states)
    assert states[0] == graph.complete
    assert graph.complete.available == names


@every_graph
def test_the_groups_hold_each_state_once_by_what_is_missing(graph: Graph) -> None:
    words = ("complete", "one missing", "two missing", "three missing")
    assert tuple(graph.groups) == words[: len(graph.modalities)]
    assert [s for group in graph.groups.values() for s in group] == list(graph.states)
    for lost, group in enumerate(graph.groups.values()):
        assert {len(graph.missing(state)) for state in group} == {lost}


@pytest.mark.parametrize(("graph", "count"), list(zip(GRAPHS, (1, 6, 15, 28), strict=True)))
def test_the_engines_are_a_branch_of_each_and_two_for_each_direction(
    graph: Graph, count: int
) -> None:
    assert len(graph.engines) == len(set(graph.engines)) == count
    cmfts, dems = edges("cmft", graph), edges("dem", graph)
    assert set(graph.engines) == {*branches(graph), *cmfts, *dems}
    assert set(graph.pairs) == set(cmfts.values())
    assert graph.parts == {1: 1, 2: 4, 3: 6, 4: 8}[len(graph.modalities)]


def test_the_paper_s_graph_is_of_rgb_nir_and_tir() -> None:
    assert RGB_NIR_TIR.modalities == NAMES
    assert len(RGB_NIR_TIR.states) == 7


@settings(deadline=None)
@given(st.data())
def test_parse_takes_the_modalities_in_any_order_and_case(data: st.DataObject) -> None:
    graph = data.draw(st.sampled_from(GRAPHS))
    state = data.draw(st.sampled_from(graph.states))
    shuffled = "+".join(data.draw(st.permutations(state.available)))
    upper = data.draw(st.lists(st.booleans(), min_size=len(shuffled), max_size=len(shuffled)))
    name = "".join(c.upper() if up else c for c, up in zip(shuffled, upper, strict=True))
    assert graph.parse(name) == state
    assert graph.state(shuffled.split("+")) == state


@every_state
def test_a_state_is_its_name_and_splits_the_modalities(graph: Graph, state: State) -> None:
    assert graph.parse(state.name) == state
    assert str(state) == state.name
    assert sorted(state.available + graph.missing(state)) == sorted(graph.modalities)
    assert state.anchor == next(m for m in graph.modalities if m in state.available)


@pytest.mark.parametrize("name", ["", " ", "+", "rgb+", "uv", "rgb+uv", "rgb,tir", "rgbnirtir"])
def test_a_name_of_no_state_is_an_error_that_lists_the_states(name: str) -> None:
    with pytest.raises(StateError, match="unknown state") as error:
        RGB_NIR_TIR.parse(name)
    assert repr(name) in str(error.value)
    assert all(state.name in str(error.value) for state in RGB_NIR_TIR.states)


def test_an_unknown_modality_is_an_error_that_lists_the_modalities() -> None:
    with pytest.raises(StateError, match=r"unknown modality 'uv'.*rgb, nir, tir"):
        RGB_NIR_TIR.state(["rgb", "uv"])


def test_a_wrong_state_is_a_value_error() -> None:
    assert issubclass(StateError, ValueError)


def test_a_state_without_any_modality_is_an_error() -> None:
    with pytest.raises(StateError, match="no modality is available"):
        RGB_NIR_TIR.state([])


@pytest.mark.parametrize(
    ("modalities", "told"),
    [
        ((), "one or more"),
        (("rgb", "rgb"), "different"),
        *(((name, "rgb"), repr(name)) for name in ("", "RGB", "nir2", "near_ir", "a+b", "rgb\n")),
    ],
)
def test_a_graph_of_other_names_is_an_error(modalities: tuple[str, ...], told: str) -> None:
    with pytest.raises(ValueError, match="modalit") as error:
        Graph(modalities)
    assert told in str(error.value)


words = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=8)


@given(st.lists(words, min_size=1, max_size=4, unique=True).map(lambda names: Graph(tuple(names))))
def test_engine_names_are_taken_apart_as_they_were_put_together(graph: Graph) -> None:
    assert [component(engine) for engine in graph.engines] == list(graph.components)
    for m in graph.modalities:
        assert component(branch_engine(m)) == Component("branch", m, m)
    for s, t in graph.pairs:
        assert component(cmft_engine(s, t)) == Component("cmft", s, t)
        assert component(dem_engine(s, t)) == Component("dem", s, t)
    assert len(set(graph.engines)) == len(graph.engines)
    kinds = [kind_of(engine) for engine in graph.engines]
    assert Counter(kinds)["branch"] == len(graph.modalities)


NO_ENGINES = [
    "", "branch", "branch_", "branch_rgb2nir", "branch_RGB", "branch_rgb_", "Branch_rgb",
    "cmft_rgb", "cmft_rgb2", "cmft_2nir", "cmft_rgb2rgb", "cmft_rgb2nir2tir", "cmft_rgb2nir ",
    "dem_rgb", "dem_rgb2tir2", "dem_rgb22tir", "dem_rgb_2tir", "dem_rgb2tir\n", "fusion_rgb2nir",
    "rgb2nir",
]  # fmt: skip


@pytest.mark.parametrize("name", NO_ENGINES)
def test_what_is_no_engine_s_name_is_an_error(name: str) -> None:
    for take in (component, kind_of):
        with pytest.raises(ValueError, match="not the name of an engine") as error:
            take(name)
        assert repr(name) in str(error.value)


@given(st.text())
def test_a_name_is_an_engine_s_or_refused(name: str) -> None:
    try:
        found = component(name)
    except ValueError:
        return
    assert found.engine == name


@pytest.mark.parametrize("module", ["denet", "denet.graph", "runtime"])
def test_importing_the_nodes_modules_does_not_import_torch(module: str) -> None:
    heavy = {"torch", "torchvision", "onnx", "safetensors"}
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, {module}; print(*{heavy} & sys.modules.keys())"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")
