"""Plans against the paper's composition, written down once more here, and their execution."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, get_args

import pytest

from denet.graph import (
    RGB_NIR_TIR,
    Call,
    Composition,
    Graph,
    Plan,
    State,
    StateError,
    execute,
    stacked,
    unstacked,
)
from tests.denet.graphs import NAMES, branches, edges, every_graph, every_state

Base = tuple[str, ...]
Source = tuple[str, str | None]
"""A source of an edge: a modality, and what its feature map was recovered from, if it was."""

Vector = tuple[Base, frozenset[Source]]
"""A pooled vector: what it is without enhancement, and the sources of the edges added to it."""


def edge_calls(graph: Graph, found: Plan) -> list[Call]:
    return [call for call in found.calls if call.engine in edges("dem", graph)]


def values_in(call: Call) -> list[str]:
    return [value for names in call.inputs.values() for value in names]


def values_out(call: Call) -> list[str]:
    return [value for names in call.outputs.values() for value in names]


def composed(graph: Graph, available: frozenset[str], kind: Composition) -> list[Vector]:
    """The paper's Eq. 7-9: F_final = concat(c(S), c({anchor(S)})), and the other compositions."""
    order = graph.modalities
    anchor = next(m for m in order if m in available)

    def c(chosen: frozenset[str]) -> list[Vector]:
        return [
            (("g", t) if t in chosen else ("r", anchor, t), sources(chosen, t))  # base, uncut
            for t in order
        ]

    def sources(chosen: frozenset[str], target: str) -> frozenset[Source]:
        others = [s for s in order if s != target]
        before = order[: order.index(target)]

        def real(source: str) -> str | None:
            return None if source in chosen else anchor

        last = {order[(i + 1) % len(order)]: s for i, s in enumerate(order)}[target]
        return frozenset(
            {
                "dynamic": [(s, None) for s in others if s in chosen],
                "fixed": [(s, real(s)) for s in others if s == order[0]],
                "single": [(s, None) for s in others if s == last and s in chosen],
                "uncut": [(s, real(s)) for s in others],
                "ordered": [(s, None) for s in before if s in chosen],
                "none": [],
                "transposed": [(s, None) for s in others if s in chosen],
            }[kind]
        )

    if kind == "concat":
        return [(("g", t) if t in available else ("zero",), frozenset()) for t in order]
    if len(order) == 1:  # both are the same vector, which the embedding has once
        return c(available)
    return c(available) + c(frozenset({anchor}))


def interpreted(graph: Graph, found: Plan, kind: Composition = "dynamic") -> list[Vector]:
    """What the parts are, from what each call reads and makes; names are only labels."""
    cmfts, dems = edges("cmft", graph), edges("dem", graph)

    def run(call: Call, inputs: dict[str, tuple[Any, ...]]) -> dict[str, Sequence[Any]]:
        if call.engine in branches(graph):
            modality = branches(graph)[call.engine]
            assert call.inputs == {"image": (f"image_{modality}",)}
            assert set(call.outputs) == {"feature", "pooled"}
            assert inputs == {"image": (f"pixels of {modality}",)}
            return {"feature": [(modality, None)], "pooled": [(("g", modality), frozenset())]}
        if call.engine in cmfts:
            source, target = cmfts[call.engine]
            assert set(call.inputs) == {"feature"}
            assert inputs["feature"] == ((source, None),)
            made: dict[str, Sequence[Any]] = {"pooled": [(("r", source, target), frozenset())]}
            return made | ({"feature": [(target, source)]} if "feature" in call.outputs else {})
        source, target = dems[call.engine]
        assert (set(call.inputs), set(call.outputs)) == ({"feature", "base", "sum"}, {"enhanced"})
        (feature,) = inputs["feature"]
        assert feature[0] == source
        enhanced = []
        for base, (of, added) in zip(inputs["base"], inputs["sum"], strict=True):
            if kind == "transposed":
                modality, origin = base
                what = ("g", modality) if origin is None else ("r", origin, modality)
            else:
                what, no_sources = base
                assert not no_sources, "an edge looks at the target as it was, not enhanced"
            assert what[-1] == target
            assert of == what, "an edge adds to another vector than it looks at"
            assert feature not in added, "an edge is added twice"
            enhanced.append((what, added | {feature}))
        return {"enhanced": enhanced}

    values: dict[str, Any] = {f"image_{m}": f"pixels of {m}" for m in found.state.available}
    execute(found.calls, values, run)
    return [values[p] if p != "zero" else (("zero",), frozenset()) for p in found.parts]


@every_state
def test_parts_are_the_papers_composition(graph: Graph, state: State) -> None:
    found = interpreted(graph, graph.plan(state))
    assert found == composed(graph, frozenset(state.available), "dynamic")


@every_state
@pytest.mark.parametrize("kind", [k for k in get_args(Composition) if k != "dynamic"])
def test_parts_of_the_other_compositions(graph: Graph, state: State, kind: Composition) -> None:
    found = interpreted(graph, graph.plan(state, None, kind), kind)
    assert found == composed(graph, frozenset(state.available), kind)


@every_state
def test_no_cut_edge_is_used_and_every_uncut_one_is(graph: Graph, state: State) -> None:
    dems = edges("dem", graph)
    used = {dems[call.engine] for call in edge_calls(graph, graph.plan(state))}
    assert used == {(s, t) for s in state.available for t in graph.modalities if s != t}
    assert used == set(graph.edges(state))


@every_state
def test_a_missing_modality_is_never_a_source(graph: Graph, state: State) -> None:
    both = edges("cmft", graph) | edges("dem", graph)
    source = branches(graph) | {e: s for e, (s, _) in both.items()}
    assert {source[engine] for engine in graph.plan(state).engines} == set(state.available)


@every_state
def test_recovery_starts_at_the_anchor_and_yields_all_others(graph: Graph, state: State) -> None:
    cmfts = edges("cmft", graph)
    used = {cmfts[engine] for engine in graph.plan(state).engines if engine in cmfts}
    assert used == {(state.anchor, t) for t in graph.modalities if t != state.anchor}


@every_state
def test_inputs_are_available_images_or_made_by_earlier_calls(graph: Graph, state: State) -> None:
    known = {f"image_{m}" for m in state.available}
    for call in graph.plan(state).calls:
        assert known.issuperset(values_in(call))
        known.update(values_out(call))


@every_state
def test_every_value_is_made_once_and_every_engine_called_once(graph: Graph, state: State) -> None:
    found = graph.plan(state)
    assert max(Counter(v for call in found.calls for v in values_out(call)).values()) == 1
    assert max(Counter(found.engines).values()) == 1


@every_state
@pytest.mark.parametrize("kind", get_args(Composition))
def test_calls_come_in_the_order_of_the_engines(
    graph: Graph, state: State, kind: Composition
) -> None:
    for anchor in state.available:
        places = [graph.engines.index(engine) for engine in graph.plan(state, anchor, kind).engines]
        assert places == sorted(places)


@every_state
def test_two_parts_of_each_modality_and_nothing_is_computed_in_vain(
    graph: Graph, state: State
) -> None:
    found = graph.plan(state)
    made = {value for call in found.calls for value in values_out(call)}
    read = {value for call in found.calls for value in values_in(call)}
    assert len(found.parts) == graph.parts
    assert made.issuperset(found.parts)
    # The feature map of a branch has a reader too: a single modality enhances the others.
    unread = {"feature_rgb"} if len(graph.modalities) == 1 else set()
    images = {f"image_{m}" for m in state.available}
    assert made == (read | set(found.parts) | unread) - images


@every_state
def test_edges_are_shared_between_the_halves(graph: Graph, state: State) -> None:
    calls = edge_calls(graph, graph.plan(state))
    vectors = sum(len(call.outputs["enhanced"]) for call in calls)
    others, available = len(graph.modalities) - 1, len(state.available)
    # An edge of c(S) for each target of each source. The anchor's edges alone enhance one vector
    # more, the recovered one of a target that is there as well.
    assert (vectors, len(calls)) == (available * others + available - 1, available * others)
    if graph == RGB_NIR_TIR:
        assert (vectors, len(calls)) == {3: (8, 6), 2: (5, 4), 1: (2, 2)}[available]


@pytest.mark.parametrize("name", NAMES)
def test_with_one_modality_both_halves_are_the_same_five_calls(name: str) -> None:
    found = RGB_NIR_TIR.plan(RGB_NIR_TIR.parse(name))
    assert found.parts[:3] == found.parts[3:]
    assert len(found.calls) == 5


def test_a_missing_anchor_is_an_error() -> None:
    with pytest.raises(StateError, match=r"nir is missing in state rgb\+tir"):
        RGB_NIR_TIR.plan(RGB_NIR_TIR.parse("rgb+tir"), "nir")


def echo(ran: list[str]) -> Any:
    """What makes a value out of its name, and notes which engine ran."""

    def run(call: Call, inputs: dict[str, tuple[str, ...]]) -> dict[str, list[str]]:
        assert {n: tuple(f"<{v}>" for v in names) for n, names in call.inputs.items()} == inputs
        ran.append(call.engine)
        return {n: [f"<{v}>" for v in names] for n, names in call.outputs.items()}

    return run


@every_state
def test_each_engine_of_a_plan_is_run_once_in_order(graph: Graph, state: State) -> None:
    found, ran = graph.plan(state), list[str]()
    values = {f"image_{m}": f"<image_{m}>" for m in state.available}
    execute(found.calls, values, echo(ran))
    assert tuple(ran) == found.engines
    assert all(value == f"<{name}>" for name, value in values.items())
    assert set(found.parts) <= set(values)
    execute(found.calls, values, echo(ran))
    assert tuple(ran) == found.engines, "what is there is not made again"


@every_graph
def test_a_call_whose_outputs_are_there_is_skipped(graph: Graph) -> None:
    found = graph.plan(graph.complete)
    made: dict[str, str] = {f"image_{m}": f"<image_{m}>" for m in graph.modalities}
    execute(found.calls, made, echo([]))
    for call in found.calls:
        lacking = {name: v for name, v in made.items() if name not in values_out(call)}
        ran: list[str] = []
        execute(found.calls, lacking, echo(ran))
        assert ran == [call.engine]
        assert lacking == made


@every_state
def test_a_plan_whose_inputs_are_missing_is_refused(graph: Graph, state: State) -> None:
    for lost in state.available:
        values = {f"image_{m}": f"<image_{m}>" for m in state.available if m != lost}
        with pytest.raises(KeyError, match=f"image_{lost}"):
            execute(graph.plan(state).calls, values, echo([]))


def test_an_engine_that_makes_too_little_is_an_error() -> None:
    call = Call("dem_rgb2nir", {"feature": ("f",)}, {"enhanced": ("a", "b")})
    with pytest.raises(ValueError, match="zip"):
        execute([call], {"f": 0}, lambda *_: {"enhanced": [1]})


def test_targets_are_stacked_for_an_engine_and_unstacked_behind_it() -> None:
    inputs = {"feature": (1,), "base": (2, 3), "sum": (4,)}
    assert stacked(inputs, list) == {"feature": 1, "base": [2, 3], "sum": [4]}
    assert unstacked({"enhanced": [5, 6], "pooled": 7}) == {"enhanced": [5, 6], "pooled": [7]}
