"""Accuracy by state, state against state, and at missing rates."""

from __future__ import annotations

import math

import pytest
import torch

from denet.data.records import DataError, DataSet
from denet.embed import BundleEmbedder, TorchEmbedder
from denet.evaluate import (
    RateError,
    Split,
    evaluate_rates,
    evaluate_states,
    parse_rates,
    state_matrix,
)
from denet.graph import RGB_NIR_TIR
from denet.missing import draw_states
from denet.model import DENet
from runtime import Runtime

COMPLETE = RGB_NIR_TIR.complete
STATES = RGB_NIR_TIR.states


def test_a_bundle_has_the_accuracy_of_its_checkpoint(
    model: DENet, runtime: Runtime, small_set: DataSet
) -> None:
    split = Split(small_set.query, small_set.gallery)
    expected = evaluate_states(TorchEmbedder(model, torch.device("cpu")), split)
    found = evaluate_states(BundleEmbedder(runtime), split)
    assert list(found) == list(STATES)
    for state in STATES:
        assert found[state].map == pytest.approx(expected[state].map, abs=0.05)


def test_the_diagonal_of_the_matrix_is_the_accuracy_in_each_state(
    model: DENet, small_set: DataSet
) -> None:
    split = Split(small_set.query, small_set.gallery)
    embed = TorchEmbedder(model, torch.device("cpu"))
    states = evaluate_states(embed, split)
    matrix = state_matrix(embed, split)
    assert len(matrix) == 49
    for state in STATES:
        assert matrix[state, state].map == states[state].map


def test_a_rate_of_zero_is_the_complete_state(model: DENet, small_set: DataSet) -> None:
    split = Split(small_set.query, small_set.gallery)
    embed = TorchEmbedder(model, torch.device("cpu"))
    rates = evaluate_rates(embed, split, [0.0, 1.0], seed=0)
    assert rates[0.0].map == evaluate_states(embed, split, [COMPLETE])[COMPLETE].map
    assert rates[1.0].map != rates[0.0].map


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_a_missing_rate_is_met_exactly_and_repeatably(rate: float) -> None:
    states = draw_states(RGB_NIR_TIR, 1000, rate, seed=3)
    assert sum(state != COMPLETE for state in states) == round(1000 * rate)
    assert states == draw_states(RGB_NIR_TIR, 1000, rate, seed=3)
    if rate:
        assert states != draw_states(RGB_NIR_TIR, 1000, rate, seed=4)
        assert set(states) == set(STATES) - ({COMPLETE} if rate == 1 else set())


def test_missing_rates_are_read() -> None:
    assert parse_rates("0:1:0.1") == pytest.approx([i / 10 for i in range(11)])
    assert parse_rates("0.5") == [0.5]
    for text in ("", "a", "0:1", "0:1:0", "2", "-0.1", "0:2:1"):
        with pytest.raises(RateError, match="missing rate"):
            parse_rates(text)


def test_a_set_that_lacks_a_modality_is_evaluated_without_it(
    model: DENet, small_set: DataSet
) -> None:
    poor = tuple(record.within(RGB_NIR_TIR.parse("rgb+tir")) for record in small_set.query)
    embed = TorchEmbedder(model, torch.device("cpu"))
    with pytest.raises(DataError, match=r"no query has a match in state rgb\+nir\+tir"):
        evaluate_states(embed, Split(poor, poor), [COMPLETE])
    assert [s.name for s in evaluate_states(embed, Split(poor, poor))] == ["rgb+tir", "rgb", "tir"]
    ranked = evaluate_states(embed, Split(poor, poor), [RGB_NIR_TIR.parse("tir")])
    assert not math.isnan(ranked[RGB_NIR_TIR.parse("tir")].map)
