"""Results that are committed: of the recipes that their variants have today, and whole."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest

from denet.experiments.catalog import EXPERIMENTS
from denet.experiments.methods import rival_variant
from denet.experiments.study import RESULT, varied_recipe
from denet.experiments.variants import TrainingVariant
from denet.graph import RGB_NIR_TIR
from denet.recipe import PRESETS
from denet.rivals.catalog import METHODS
from tests.paths import ROOT

RUNS = sorted((ROOT / "measurements" / "experiments" / "runs").glob(f"*/{RESULT}"))

VARIANTS: dict[str, TrainingVariant] = {
    variant.key: variant for each in EXPERIMENTS.values() for variant in each.variants
} | {variant.key: variant for variant in map(rival_variant, METHODS)}


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.parent.name)
def test_a_result_is_of_its_variant_s_recipe(path: Path) -> None:
    named = re.fullmatch(r"(.+)-seed(\d)", path.parent.name)
    assert named is not None
    recipe = varied_recipe(PRESETS["small"], VARIANTS[named[1]].changes, int(named[2]))
    result = json.loads(path.read_text())
    assert result["recipe"] == json.loads(msgspec.json.encode(recipe))
    assert result["queries"] == 800
    assert set(result["facts"]["states"]) == {state.name for state in RGB_NIR_TIR.states}
    for found in result["facts"]["states"].values():
        assert 0 < found["mAP"] <= 100
        assert 0 <= found["R1"] <= found["R5"] <= found["R10"] <= 100


def test_some_are_there() -> None:
    assert RUNS
