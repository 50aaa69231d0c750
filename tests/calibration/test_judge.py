"""What a choice of forms does to the ranking, against brute force."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration import Outcome
from calibration.judge import Judge, overlap, paired_change
from calibration.replay import ReplayEngines, all_in
from denet.graph import RGB_NIR_TIR
from runtime import Runtime
from runtime.bundle.forms import Form
from runtime.head import Head
from tests.calibration.parts import STATES


@settings(max_examples=50, deadline=None)
@given(st.integers(3, 30), st.integers(0, 10**6))
def test_overlap_is_that_of_sorted_neighbours(count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    a, b = random.standard_normal((2, count, 5)).astype(np.float32)
    k = min(10, count - 1)
    shares = []
    for i in range(count):
        near = [
            {j for _, j in sorted((-float(x[i] @ x[j]), j) for j in range(count) if j != i)[:k]}
            for x in (a, b)
        ]
        shares.append(len(near[0] & near[1]) / k)
    assert overlap(a, b, 10) == pytest.approx(np.mean(shares))


def test_the_interval_of_a_change_is_paired() -> None:
    random = np.random.default_rng(0)
    identities = np.repeat(np.arange(40), 5)
    before = np.repeat(random.random(40), 5)  # identities differ by far more than the change
    after = before - 0.01 + random.normal(0, 0.001, 200)
    before[3] = np.nan  # a query without a match
    change, (low, high) = paired_change(before, after, identities, 0)
    assert change == pytest.approx(np.nanmean(after - before) * 100)
    assert -1.05 < low < change < high < -0.95
    unpaired = np.nanstd(before) * 100 / np.sqrt(40)
    assert high - low < unpaired / 10


def test_judged_accuracy_is_that_of_the_evaluation(outcome: Outcome) -> None:
    from denet.embed import BundleEmbedder
    from denet.evaluate import Split, evaluate_states

    split = Split(outcome.samples.judged.records, outcome.samples.judged.records)
    for precision, variant in (("fp32", "int8-avx2"), ("int8", "int8-avx2")):
        with Runtime.load(outcome.bundle, "ort-cpu", precision) as runtime:
            ranked = evaluate_states(BundleEmbedder(runtime), split)
        for state, ranking in ranked.items():
            judged = outcome.whole[variant][state]
            expected = judged.map_fp32 if precision == "fp32" else judged.map
            assert ranking.map == pytest.approx(expected, abs=0.3)


def test_a_choice_is_judged_as_the_same_forms_are_in_company(outcome: Outcome, data: Path) -> None:
    # A judge keeps what FP32 makes; a later choice must not be taken for it.
    def read(engine: str, form: Form) -> bytes:
        return outcome.bundle.read_engine(engine, form)

    judge = Judge(
        ReplayEngines(outcome.bundle.graph, read, None),
        Head(outcome.bundle),
        outcome.samples.judged,
        labelled=True,
        batch=8,
        seed=0,
    )
    forms = all_in(RGB_NIR_TIR, "int8-avx2")
    assert judge.judge({"fp32": all_in(RGB_NIR_TIR, "fp32")})["fp32"][STATES[0]].cosine == 1
    for name in ("", "x"):
        assert judge.judge({name: forms})[name] == outcome.whole["int8-avx2"]
