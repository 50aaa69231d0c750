"""Results that are committed: of the recipes that their variants have today, and whole."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest

from denet.experiments.catalog import EXPERIMENTS, experiment
from denet.experiments.methods import rival_variant, tabulated, with_methods
from denet.experiments.study import RESULT, jobs_of, varied_recipe
from denet.experiments.tables import markdown
from denet.experiments.variants import TrainingVariant
from denet.graph import RGB_NIR_TIR
from denet.marks import TABLE
from denet.recipe import read_recipe
from denet.rivals.catalog import METHODS
from tests.paths import ROOT

FOLDER = ROOT / "measurements" / "experiments"

RECIPE = read_recipe("small", FOLDER / "recipe.toml")

RUNS = sorted((FOLDER / "runs").glob(f"*/{RESULT}"))

TABLES = sorted(path for path in FOLDER.glob("*.md") if path.stem in EXPERIMENTS)

VARIANTS: dict[str, TrainingVariant] = {
    variant.key: variant for each in EXPERIMENTS.values() for variant in each.variants
} | {variant.key: variant for variant in map(rival_variant, METHODS)}


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.parent.name)
def test_a_result_is_of_its_variant_s_recipe(path: Path) -> None:
    named = re.fullmatch(r"(.+)-seed(\d)", path.parent.name)
    assert named is not None
    recipe = varied_recipe(RECIPE, VARIANTS[named[1]].changes, int(named[2]))
    result = json.loads(path.read_text())
    assert result["recipe"] == json.loads(msgspec.json.encode(recipe))
    assert result["queries"] == 800
    assert set(result["facts"]["states"]) == {state.name for state in RGB_NIR_TIR.states}
    for found in result["facts"]["states"].values():
        assert 0 < found["mAP"] <= 100
        assert 0 <= found["R1"] <= found["R5"] <= found["R10"] <= 100


def test_some_are_there() -> None:
    assert RUNS
    assert TABLES


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_a_table_is_what_its_results_come_to_and_stands_in_the_docs(path: Path) -> None:
    chosen = with_methods(path.stem, experiment(path.stem), tuple(METHODS))
    jobs = jobs_of([chosen], RECIPE, 3, FOLDER)
    tables = tabulated(chosen, jobs)
    assert path.read_bytes() == TABLE + markdown(tables).encode()
    page = (ROOT / "docs" / "experiments.md").read_text()
    assert [table.title for table in tables if table.markdown() not in page] == []
