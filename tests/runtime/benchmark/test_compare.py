"""Two reports side by side."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from runtime.benchmark.compare import Comparison, compare, comparison_facts, comparison_sheet
from runtime.benchmark.errors import BenchmarkError
from runtime.benchmark.result import BenchmarkReport
from tests.runtime.benchmark.reports import a_report, a_variant


def test_two_equal_reports_differ_in_nothing() -> None:
    found = compare(a_report(), a_report())
    assert found.differences == ()
    assert {change.ratio for change in found.changes} == {1.0}
    assert not any(change.beyond_noise for change in found.changes)
    assert found.worse_than(1.0) == []


def test_a_change_is_beyond_the_noise_where_the_ranges_part() -> None:
    def state(old: BenchmarkReport, new: BenchmarkReport) -> Any:
        changes = compare(old, new).changes
        return next(change for change in changes if change.what == "rgb+nir+tir")

    assert not state(a_report(spread=0.3), a_report(1.1, spread=0.3)).beyond_noise
    slower = state(a_report(spread=0.05), a_report(1.2, spread=0.05))
    assert slower.beyond_noise
    assert slower.ratio == pytest.approx(1.2)
    assert slower.worse_than(1.1)
    assert not slower.worse_than(1.25)
    faster = state(a_report(spread=0.05), a_report(0.8, spread=0.05))
    assert faster.beyond_noise
    assert not faster.worse_than(1.0)


def test_a_limit_applies_to_what_a_user_waits_for() -> None:
    judged = {
        change.what for change in compare(a_report(), a_report()).changes if change.new.judged
    }
    assert {"rgb", "rgb, batch 8", "mixed states, batched", "tir, from files"} <= judged
    assert {"cold start, all", "host memory, rgb", "engines on disk", "preprocessing"} <= judged
    assert "branch_rgb" not in judged
    assert "first without rgb" not in judged


def test_what_else_differs_is_said() -> None:
    other = msgspec.structs.replace(
        a_report().machine,
        name="Another",
        facts={"versions": {"onnxruntime": "1.30.0"}},
        throttled="oc1 +3",
    )
    told = compare(a_report(), a_report(machine=other)).differences
    assert told == (
        "different machines: A processor and Another",
        "different onnxruntime: 1.31.1 and 1.30.0",
        "the second was slowed down: oc1 +3",
    )


def test_only_what_both_have_is_compared() -> None:
    fewer = a_report(variants={"ort-cpu fp32": a_variant()})
    assert {change.variant for change in compare(a_report(), fewer).changes} == {
        "ort-cpu fp32",
        "images",
    }
    none = a_report(variants={"ort-cuda fp16": a_variant()})
    with pytest.raises(BenchmarkError, match="nothing in common"):
        compare(a_report(), none)


def test_a_comparison_shows_states_and_what_changed() -> None:
    found: Comparison = compare(a_report(), a_report(1.2))
    sheet = comparison_sheet(found, 1.1)
    shown = [row[0] for row in sheet.rows]
    assert "ort-cpu fp32: rgb" in shown
    assert "ort-cpu fp32: engines on disk" not in shown
    assert re.fullmatch(r"\d+ others did not change beyond the noise", sheet.note)
    assert len(shown) + int(sheet.note.split()[0]) == len(found.changes)
    assert sheet.bad
    facts = comparison_facts(found, found.worse_than(1.1))
    assert len(facts["changes"]) == len(found.changes)
    assert sum(change["too_much"] for change in facts["changes"]) == len(sheet.bad)
