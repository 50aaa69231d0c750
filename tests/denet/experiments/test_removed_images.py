"""The experiment of images that are taken away from training."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest

from denet.commands.experiment import gap_lines
from denet.data.records import DataSet, ImageRef, Record, complete
from denet.experiments.catalog import experiment as named
from denet.experiments.figure import each_state, means, of_all
from denet.experiments.gaps import GapVariant
from denet.experiments.study import jobs_of
from denet.experiments.tables import mean_and_spread, tabulate
from denet.graph import RGB_NIR_TIR, Graph
from tests.denet.experiments.results import SMALL, fabricated, with_results

TRAIN = tuple(
    Record(f"{i:03}", i // 4, i % 2, {m: ImageRef(Path(f"{i}{m}")) for m in ("rgb", "nir", "tir")})
    for i in range(40)
)
DATA = DataSet("mine", Path("mine"), TRAIN, TRAIN[:8], TRAIN[:8])


def test_both_trainings_lose_the_same_images(tmp_path: Path) -> None:
    jobs = jobs_of([named("gaps"), named("gaps-steps")], SMALL, 2, tmp_path)
    assert len(jobs) == 20
    for job in jobs:
        made = job.training(DATA)
        assert (made.query, made.gallery) == (DATA.query, DATA.gallery)
        variant = job.variant
        if not isinstance(variant, GapVariant):
            assert made == DATA
            continue
        left = next(
            other.training(DATA).train
            for other in jobs
            if other.seed == job.seed
            and isinstance(other.variant, GapVariant)
            and other.variant.share == variant.share
            and not other.variant.whole
        )
        assert sum(len(r.images) for r in left) == 120 - round(120 * variant.share)
        assert all(r.images for r in left)
        whole = complete(left, RGB_NIR_TIR)
        assert whole
        if not variant.whole:
            assert made.train == left
        elif not variant.repeated:
            assert made.train == whole
        else:
            counts = Counter(r.name for r in made.train)
            assert set(counts) == {r.name for r in whole}
            assert sum(counts.values()) == len(TRAIN)
            assert max(counts.values()) - min(counts.values()) <= 1
    # What a run is taken for finished by differs wherever what it is trained on does.
    assert len({(job.digest(DATA), job.seed) for job in jobs}) == len(jobs)


def test_a_column_of_what_a_set_did_not_support_is_a_stroke(tmp_path: Path) -> None:
    facts = fabricated()
    for state in ("rgb+nir+tir", "nir"):
        del facts["states"][state]
        facts["matrix"] = {k: v for k, v in facts["matrix"].items() if state not in k.split(" / ")}
    first, *_, nir, _ = (figure.of(facts) for figure in each_state(RGB_NIR_TIR))
    assert math.isnan(first)
    assert math.isnan(nir)
    whole, one, two, *_ = (figure.of(facts) for figure in means(RGB_NIR_TIR))
    maps = {name: cell["mAP"] for name, cell in facts["states"].items()}
    assert math.isnan(whole)
    assert one == pytest.approx((maps["rgb+nir"] + maps["rgb+tir"] + maps["nir+tir"]) / 3)
    assert two == pytest.approx((maps["rgb"] + maps["tir"]) / 2)
    assert of_all(RGB_NIR_TIR).of(facts) == pytest.approx(sum(maps.values()) / 5)
    assert mean_and_spread([1.0, math.nan]) == mean_and_spread([math.nan]) == "-"
    (grid,) = tabulate(named("gaps"), with_results(named("gaps"), tmp_path, facts))
    assert {row[1] for row in grid.rows} == {"-"}


def test_what_is_left_out_is_told_before_anything_is_trained() -> None:
    assert gap_lines(DATA, RGB_NIR_TIR, ["osnet"]) == []
    two = RGB_NIR_TIR.parse("rgb+nir")
    rows = tuple(r.within(two) if i < 4 else r for i, r in enumerate(TRAIN))
    poor = DataSet("mine", Path("mine"), rows, rows[:8], rows[:8])
    training, tested, rivals = gap_lines(poor, RGB_NIR_TIR, ["osnet"])
    assert training.startswith("36 of 40 training samples are complete; L_ReID sees 40")
    assert tested.startswith("of the samples that can be in a state: rgb+nir+tir 4 of 8, rgb+tir")
    assert rivals == (
        "osnet: trained on the 36 complete of 40 training samples alone: a rival takes no others"
    )
    assert gap_lines(poor, Graph(("rgb", "nir")), ["osnet"]) == []
