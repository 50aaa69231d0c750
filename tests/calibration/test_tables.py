"""What a calibration found, as tables for a terminal."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from calibration.outcome import Outcome
from calibration.tables import engine_table, variant_table
from runtime.bundle.forms import FORMS
from tests.calibration.outcomes import STATES, an_outcome, row, shown


@pytest.mark.parametrize("width", [100, 120])
def test_variants_in_a_terminal(played: Outcome, width: int) -> None:
    text = shown(variant_table(played, "mixed-vnni"), width)
    assert "…" not in text
    assert "mixed-vnni beside FP32, 20 samples" in text
    assert "budget: 0.5 points of mAP" in text
    first = row(text, "rgb+nir+tir")
    for number in ("0.99870", "0.99770", "95.0", "80.00", "79.66", "-0.34 (-0.54, -0.24)", "79.56"):
        assert number in first
    for state in STATES:
        assert row(text, state.name)


def test_what_breaks_the_budget_is_red(played: Outcome) -> None:
    rows = variant_table(played, "int8-vnni").rows
    assert [r.style for r in rows] == ["red"] + [None] * 6
    assert not any(r.style for r in variant_table(played, "mixed-vnni").rows)


def test_variants_without_labels(unlabelled: Outcome) -> None:
    text = shown(variant_table(unlabelled, "mixed-vnni"))
    assert "0.99870" in row(text, "rgb+nir+tir")
    assert "mAP" not in text
    assert "0.99" in text.splitlines()[-2] + text.splitlines()[-1]


def test_engines_in_a_terminal(played: Outcome) -> None:
    text = shown(engine_table(played), 100)
    assert "…" not in text
    lines = text.splitlines()
    at = lines.index(row(text, "branch_rgb"))
    assert re.search(r"2\.00 +1\.00 ✓ .* 0\.500 +0\.250 +│", lines[at])
    assert "for vnni" in lines[at + 1]
    assert "-0.77 rgb+nir+tir" in lines[at + 1]
    assert re.search(r"2\.00 +1\.00 +│ +0\.500 +0\.250 ✓", row(text, "branch_nir"))
    assert "refused" in row(text, "cmft_rgb2nir")
    assert re.search(r"30\.0 +15\.0 +│ +- +- +│", row(text, "all 15"))
    assert "✓: chosen by mixed-vnni" in text


def test_engines_in_all_forms_fit_a_terminal() -> None:
    text = shown(engine_table(an_outcome(forms=FORMS[1:])), 120)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 120
    for form in FORMS:
        assert form in text


def test_engines_without_labels_or_times(unlabelled: Outcome) -> None:
    text = shown(engine_table(replace(unlabelled, times={})))
    assert re.search(r"- +1\.00", row(text, "branch_nir"))
    assert "0.99870 rgb+nir+tir" in text
    assert "mAP" not in text
