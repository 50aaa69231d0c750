"""The plan of every state against the paper's composition, written down once more here."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denet.graph import (
    COMPLETE,
    ENGINES,
    MODALITIES,
    PAIRS,
    STATES,
    Call,
    Plan,
    State,
    StateError,
    plan,
)
from tests.paths import ROOT

NAMES = ("rgb", "nir", "tir")

# The contract of the engine names, spelled out so that no test takes names apart.
BRANCH = {f"branch_{m}": m for m in NAMES}
CMFT = {f"cmft_{s}2{t}": (s, t) for s in NAMES for t in NAMES if s != t}
DEM = {f"dem_{s}2{t}": (s, t) for s in NAMES for t in NAMES if s != t}

Base = tuple[str, ...]
Vector = tuple[Base, frozenset[str]]
"""A pooled vector: what it is without enhancement, and the sources of the edges added to it."""

every_state = pytest.mark.parametrize("state", STATES, ids=str)


def edge_calls(found: Plan) -> list[Call]:
    return [call for call in found.calls if call.engine in DEM]


def values_in(call: Call) -> list[str]:
    return [value for names in call.inputs.values() for value in names]


def values_out(call: Call) -> list[str]:
    return [value for names in call.outputs.values() for value in names]


def composition(available: frozenset[str]) -> list[Vector]:
    """DESIGN, section 2: F_final = concat(c(S), c({anchor(S)}))."""
    anchor = next(m for m in NAMES if m in available)

    def c(chosen: frozenset[str]) -> list[Vector]:
        return [
            (("g", t) if t in chosen else ("r", anchor, t), chosen - {t})  # base, uncut sources
            for t in NAMES
        ]

    return c(available) + c(frozenset({anchor}))


def interpret(found: Plan) -> list[Vector]:
    """What the six parts are, from what each call reads and makes; names are only labels."""
    features: dict[str, str] = {}
    vectors: dict[str, Vector] = {}
    for call in found.calls:
        if call.engine in BRANCH:
            modality = BRANCH[call.engine]
            assert call.inputs == {"image": (f"image_{modality}",)}
            assert set(call.outputs) == {"feature", "pooled"}
            (feature,), (pooled,) = call.outputs["feature"], call.outputs["pooled"]
            features[feature] = modality
            vectors[pooled] = ("g", modality), frozenset()
        elif call.engine in CMFT:
            source, target = CMFT[call.engine]
            assert (set(call.inputs), set(call.outputs)) == ({"feature"}, {"pooled"})
            (feature,), (pooled,) = call.inputs["feature"], call.outputs["pooled"]
            assert features[feature] == source
            vectors[pooled] = ("r", source, target), frozenset()
        else:
            source, target = DEM[call.engine]
            assert (set(call.inputs), set(call.outputs)) == (
                {"feature", "base", "sum"},
                {"enhanced"},
            )
            (feature,) = call.inputs["feature"]
            assert features[feature] == source
            for base, before, after in zip(
                call.inputs["base"], call.inputs["sum"], call.outputs["enhanced"], strict=True
            ):
                (what, no_sources), (of, sources) = vectors[base], vectors[before]
                assert what[-1] == target
                assert not no_sources, "an edge looks at the target as it was, not enhanced"
                assert of == what, "an edge adds to another vector than it looks at"
                assert source not in sources, "an edge is added twice"
                vectors[after] = what, sources | {source}
    return [vectors[part] for part in found.parts]


def test_there_are_seven_states_and_the_complete_one_is_first() -> None:
    assert len(STATES) == len(set(STATES)) == 7
    assert {frozenset(s.available) for s in STATES} == {
        frozenset(m for i, m in enumerate(NAMES) if bits >> i & 1) for bits in range(1, 8)
    }
    assert STATES[0] == COMPLETE
    assert COMPLETE.available == NAMES


def test_there_are_fifteen_engines() -> None:
    assert MODALITIES == NAMES
    assert len(ENGINES) == 15
    assert set(ENGINES) == {*BRANCH, *CMFT, *DEM}
    assert set(PAIRS) == set(CMFT.values())


@settings(deadline=None)
@given(st.data())
def test_parse_takes_the_modalities_in_any_order_and_case(data: st.DataObject) -> None:
    state = data.draw(st.sampled_from(STATES))
    shuffled = "+".join(data.draw(st.permutations(state.available)))
    upper = data.draw(st.lists(st.booleans(), min_size=len(shuffled), max_size=len(shuffled)))
    name = "".join(c.upper() if up else c for c, up in zip(shuffled, upper, strict=True))
    assert State.parse(name) == state
    assert State.of(shuffled.split("+")) == state


@every_state
def test_a_state_is_its_name_and_splits_the_modalities(state: State) -> None:
    assert State.parse(state.name) == state
    assert str(state) == state.name
    assert sorted(state.available + state.missing) == sorted(NAMES)
    assert state.anchor == next(m for m in NAMES if m in state.available)


@pytest.mark.parametrize("name", ["", " ", "+", "rgb+", "uv", "rgb+uv", "rgb,tir", "rgbnirtir"])
def test_a_name_of_no_state_is_an_error_that_lists_the_states(name: str) -> None:
    with pytest.raises(StateError, match="unknown state") as error:
        State.parse(name)
    assert repr(name) in str(error.value)
    assert all(state.name in str(error.value) for state in STATES)


def test_an_unknown_modality_is_an_error_that_lists_the_modalities() -> None:
    with pytest.raises(StateError, match=r"unknown modality 'uv'.*rgb, nir, tir"):
        State.of(["rgb", "uv"])


def test_a_wrong_state_is_a_value_error() -> None:
    assert issubclass(StateError, ValueError)


def test_a_state_without_any_modality_is_an_error() -> None:
    with pytest.raises(StateError, match="no modality is available"):
        State.of([])


@every_state
def test_parts_are_the_papers_composition(state: State) -> None:
    assert interpret(plan(state)) == composition(frozenset(state.available))


@every_state
def test_no_cut_edge_is_used_and_every_uncut_one_is(state: State) -> None:
    used = {DEM[call.engine] for call in edge_calls(plan(state))}
    assert used == {(s, t) for s in state.available for t in NAMES if s != t}
    assert used == set(state.edges)


@every_state
def test_a_missing_modality_is_never_a_source(state: State) -> None:
    source = {**BRANCH} | {e: s for e, (s, _) in (CMFT | DEM).items()}
    assert {source[engine] for engine in plan(state).engines} == set(state.available)


@every_state
def test_recovery_starts_at_the_anchor_and_yields_both_others(state: State) -> None:
    used = {CMFT[engine] for engine in plan(state).engines if engine in CMFT}
    assert used == {(state.anchor, t) for t in NAMES if t != state.anchor}


@every_state
def test_inputs_are_available_images_or_made_by_earlier_calls(state: State) -> None:
    known = {f"image_{m}" for m in state.available}
    for call in plan(state).calls:
        assert known.issuperset(values_in(call))
        known.update(values_out(call))


@every_state
def test_every_value_is_made_once_and_every_engine_called_once(state: State) -> None:
    found = plan(state)
    assert max(Counter(v for call in found.calls for v in values_out(call)).values()) == 1
    assert max(Counter(found.engines).values()) == 1


@every_state
def test_calls_come_in_the_order_of_the_engines(state: State) -> None:
    places = [ENGINES.index(engine) for engine in plan(state).engines]
    assert places == sorted(places)


@every_state
def test_six_parts_and_nothing_is_computed_in_vain(state: State) -> None:
    found = plan(state)
    made = {value for call in found.calls for value in values_out(call)}
    read = {value for call in found.calls for value in values_in(call)}
    assert len(found.parts) == 6
    assert made.issuperset(found.parts)
    # The feature map of a branch has a reader too: a single modality enhances the other two.
    assert made == (read | set(found.parts)) - {f"image_{m}" for m in state.available}


@every_state
def test_edges_are_shared_between_the_halves(state: State) -> None:
    calls = edge_calls(plan(state))
    vectors = sum(len(call.outputs["enhanced"]) for call in calls)
    assert (vectors, len(calls)) == {3: (8, 6), 2: (5, 4), 1: (2, 2)}[len(state.available)]


@pytest.mark.parametrize("name", NAMES)
def test_with_one_modality_both_halves_are_the_same_five_calls(name: str) -> None:
    found = plan(State.parse(name))
    assert found.parts[:3] == found.parts[3:]
    assert len(found.calls) == 5


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
