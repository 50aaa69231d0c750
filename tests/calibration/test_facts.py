"""What a calibration found, as plain data."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from calibration.facts import outcome_facts, reasons, worst_alone
from calibration.outcome import Outcome
from denet.graph import RGB_NIR_TIR
from tests.calibration.outcomes import BUDGET, COSTS, ENGINES, REFUSED, STATES, effects


def test_facts_are_plain_data(played: Outcome) -> None:
    facts = outcome_facts(played)
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert facts["bundle"] == "/models/<b>demo</b>.denet"
    assert facts["request"]["data"] == "/data/a&b"
    assert facts["samples"]["judged"] == {
        "source": "/data/<judge>", "samples": 20, "state": "rgb+nir+tir", "identities": 5,
    }  # fmt: skip
    assert facts["budget"] == {"value": BUDGET, "unit": "mAP points"}
    assert facts["machine"]["cpu"]
    mixed = facts["variants"]["mixed-vnni"]
    assert mixed["bytes"] == 3 * 1_000_000 + 12 * 250_000
    assert set(mixed["states"]) == {state.name for state in STATES}
    assert mixed["states"]["rgb+nir+tir"]["loss"] == pytest.approx(0.34)
    assert mixed["states"]["rgb+nir+tir"]["interval"] == pytest.approx([-0.54, -0.24])
    engines = facts["engines"]
    assert list(engines) == list(ENGINES)
    assert engines["branch_rgb"]["fp32"] == {"ms": 2.0, "bytes": 1_000_000}
    assert engines["branch_rgb"]["int8-vnni"] == {
        "ms": 0.5, "bytes": 250_000, "worst_state": "rgb+nir+tir", "worst_loss": 0.77,
        "least_cosine": pytest.approx(0.9987),
    }  # fmt: skip
    assert engines["cmft_rgb2nir"]["int8-vnni"] == {"refused": REFUSED}
    assert facts["selections"]["vnni"]["forms"]["branch_nir"] == "int8-vnni"
    assert facts["notes"] == list(played.notes)


def test_facts_without_labels(unlabelled: Outcome) -> None:
    facts = outcome_facts(unlabelled)
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert facts["samples"]["labelled"] is False
    assert facts["samples"]["judged"]["identities"] is None
    assert facts["budget"]["unit"] == "1 - mean cosine"
    state = facts["variants"]["mixed-vnni"]["states"]["rgb+nir+tir"]
    assert state["map"] is None
    assert state["interval"] is None
    assert state["loss"] == pytest.approx(0.0013)


def test_only_states_that_run_an_engine_say_how_sensitive_it_is(played: Outcome) -> None:
    # All states gain by it but those that do not run it, which stay as they were.
    gain = {("cmft_tir2rgb", "int8-vnni"): effects(0.4, "cmft_tir2rgb")}
    (found,) = worst_alone(replace(played, alone=gain)).values()
    assert "cmft_tir2rgb" in RGB_NIR_TIR.plan(found[0]).engines
    assert found[1] < 0


def test_every_engine_that_is_left_in_a_slower_form_has_a_reason(played: Outcome) -> None:
    assert reasons(played, "vnni") == {
        "branch_rgb": COSTS,
        "branch_tir": "int8-vnni is no faster here: 3.25 ms, and fp32 2.00 ms",
        "cmft_rgb2nir": f"int8-vnni cannot be had: {REFUSED}",
    }
