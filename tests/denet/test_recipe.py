"""Recipes: presets, files, and the keys that the documentation names."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest

from denet.config import ConfigError, ModelConfig, Normalization
from denet.data.transforms import AugmentConfig
from denet.recipe import PRESETS, TrainConfig, read_recipe
from tests.paths import ROOT


@pytest.mark.parametrize(
    ("text", "word"),
    [("[train]\nepoch = 3\n", "epoch"), ("[train]\nlr = 0\n", "lr"), ("[tran]\n", "tran")],
)
def test_a_wrong_recipe(text: str, word: str, tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=word) as error:
        read_recipe("small", path)
    assert str(path) in str(error.value)


def test_a_recipe_overrides_its_preset(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text("[train]\nlr = 0.5\n[model]\nbackbone = 'resnet34'\n")
    recipe = read_recipe("small", tmp_path / "r.toml")
    assert (recipe.train.lr, recipe.model.backbone) == (0.5, "resnet34")
    assert recipe.train.epochs == PRESETS["small"].train.epochs
    with pytest.raises(ConfigError, match="paper, strong, small"):
        read_recipe("huge", None)


def test_every_key_of_a_recipe_is_documented_with_its_default() -> None:
    text = (ROOT / "docs" / "training.md").read_text()
    rows = {match[1]: match[2] for match in re.finditer(r"^\| `(\w+)` \| (.*?) \|", text, re.M)}
    for table in (TrainConfig, ModelConfig, Normalization, AugmentConfig):
        for field in msgspec.structs.fields(table):
            default = {} if field.default is msgspec.NODEFAULT else field.default
            if default is msgspec.UNSET:  # of what is not stored
                default = ModelConfig().graph.modalities
            written = "none" if default is None else json.dumps(default)
            assert rows.get(field.name) == written, f"{field.name} is {written} in {table.__name__}"
