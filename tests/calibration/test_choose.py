"""The choice of a form for each engine."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.choose import fastest_first, offered, select
from calibration.emit import Emitted
from calibration.judge import Effect
from calibration.replay import all_in
from denet.graph import RGB_NIR_TIR, Graph, State
from runtime.bundle.forms import Form, Forms
from tests.calibration.parts import ENGINES, STATES


def effect(loss: float) -> Effect:
    return Effect(1.0, 1.0, 1.0, 50.0, 50.0 - loss, -loss, (-loss, -loss), 50.0, 50.0)


Losses = dict[str, float]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(0, 1), min_size=15, max_size=15),
    st.lists(st.floats(0.1, 5), min_size=15, max_size=15),
    st.floats(0, 3),
)
def test_a_choice_stays_within_the_budget_and_gives_up_no_more_than_it_must(
    costs: list[float], gains: list[float], budget: float
) -> None:
    cost, gain = (dict(zip(ENGINES, x, strict=True)) for x in (costs, gains))

    def judge(forms: Forms) -> dict[State, Effect]:
        return {
            state: effect(
                sum(cost[e] for e in RGB_NIR_TIR.plan(state).engines if forms[e] == "int8-avx2")
            )
            for state in STATES
        }

    candidates: dict[str, list[Form]] = {e: ["int8-avx2", "fp32"] for e in ENGINES}
    times: dict[str, dict[Form, float]] = {
        e: {"fp32": 10.0, "int8-avx2": 10.0 - gain[e]} for e in ENGINES
    }
    alone: dict[tuple[str, Form], dict[State, Effect]] = {
        (e, "int8-avx2"): judge({o: "int8-avx2" if o == e else "fp32" for o in ENGINES})
        for e in ENGINES
    }
    selection = select(RGB_NIR_TIR, candidates, times, alone, budget, judge)
    assert all(e.loss() <= budget for e in selection.effects.values())
    given_up = {e for e in ENGINES if selection.forms[e] == "fp32"}
    assert given_up == set(selection.reasons)
    everything = judge(dict.fromkeys(ENGINES, "int8-avx2"))
    if all(e.loss() <= budget for e in everything.values()):
        assert not given_up


def test_what_is_slower_than_fp32_is_no_choice() -> None:
    times: dict[Form, float] = {"fp32": 2.0, "fp16": 3.0, "int8-avx2": 1.0}
    assert fastest_first(["int8-avx2", "fp16", "fp32"], times) == ["int8-avx2", "fp32"]
    assert fastest_first(["int8-trt", "fp16", "fp32"], times) == ["int8-trt", "fp16", "fp32"]


@pytest.mark.parametrize("modalities", [("rgb",), ("rgb", "tir")])
def test_a_choice_is_of_the_engines_of_a_graph(modalities: tuple[str, ...]) -> None:
    graph = Graph(modalities)
    costly = graph.engines[0]

    def judge(forms: Forms) -> dict[State, Effect]:
        return {
            state: effect(5 * (forms[costly] != "fp32" and costly in graph.plan(state).engines))
            for state in graph.states
        }

    emitted = Emitted({(engine, "int8-avx2"): b"" for engine in graph.engines})
    candidates = offered(graph, emitted, "avx2")
    assert candidates == {engine: ["int8-avx2", "fp32"] for engine in graph.engines}
    alone: dict[tuple[str, Form], dict[State, Effect]] = {
        (e, "int8-avx2"): judge(all_in(graph, "fp32") | {e: "int8-avx2"}) for e in graph.engines
    }
    selection = select(graph, candidates, {}, alone, 1.0, judge)
    assert selection.forms == all_in(graph, "int8-avx2") | {costly: "fp32"}
    assert set(selection.reasons) == {costly}
