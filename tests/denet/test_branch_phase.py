"""Branches that runs share: their weights are those of a run that trained all of it itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from denet.branch_phase import UNSEEN, BranchPhase
from denet.config import ModelConfig
from denet.data.records import DataSet
from denet.initialize import initial_model
from denet.recipe import Recipe, TrainConfig
from denet.run import BEST, Origin, TrainingError
from denet.train import train
from tests.denet.training import same, weights_of, with_train

RECIPE = with_train(
    epochs=1, graph_epochs=1, branch=1.0, plain=1.0, states=1.0, dropout=0.3, clip=1.0, mu=0.5
)
MODEL: dict[str, Any] = {
    "composition": "single",
    "cmft_width": 8,
    "dem_channels": 2,
    "edge_norm": False,
    "placed": False,
    "anchor_weight": 0.5,
    "neck": "after",
}
TRAIN: dict[str, Any] = {
    "graph_epochs": 2,
    "rho": 0.1,
    "mu": 0.0,
    "states": 0.0,
    "recovery_losses": "norms",
    "adversary": "feature",
    "anchor": "rgb",
    "evaluate_every": 1,
    "workers": 1,
}
"""Other values than those of `RECIPE`, of each setting that the phase does not see."""

OTHERS: dict[str, dict[str, Any]] = {
    "another graph": MODEL,
    "other losses": {n: v for n, v in TRAIN.items() if n != "adversary"},
    "an adversary": {"adversary": TRAIN["adversary"]},
    "no graph": {"composition": "concat"},
}


def varied(**values: object) -> Recipe:
    model = {name: value for name, value in values.items() if name in ModelConfig.__struct_fields__}
    of_training = {n: v for n, v in values.items() if n in TrainConfig.__struct_fields__}
    return Recipe(
        model=msgspec.structs.replace(RECIPE.model, **model),
        train=msgspec.structs.replace(RECIPE.train, **of_training),
        augment=RECIPE.augment,
    )


def place_of(folder: Path, recipe: Recipe, data: str = "d") -> Path:
    model = initial_model(recipe.model, seed=recipe.train.seed, pretrained=False)
    return BranchPhase(folder, Origin(recipe=recipe, data=data), model).path


@pytest.fixture(scope="module")
def shared(small_set: DataSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run of `RECIPE` leaves."""
    folder = tmp_path_factory.mktemp("phase") / "branches"
    train(RECIPE, small_set, folder.parent / "run", branches=folder)
    return folder


@pytest.mark.parametrize("other", OTHERS)
def test_a_run_behind_the_branches_of_another_has_the_weights_of_its_own(
    other: str, shared: Path, small_set: DataSet, tmp_path: Path
) -> None:
    recipe = varied(**OTHERS[other])
    epochs: list[int] = []
    behind = train(
        recipe,
        small_set,
        tmp_path / "behind",
        branches=shared,
        on_epoch=lambda report: epochs.append(report.epoch),
    )
    assert epochs == list(range(2, 2 + recipe.train.graph_epochs))
    alone = train(recipe, small_set, tmp_path / "alone")
    assert same(weights_of(behind), weights_of(alone))
    assert len([*shared.iterdir()]) == 1
    log = (behind.parent / "log.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in log[1:]] == [str(1 + i) for i in range(len(log) - 1)]


def test_every_setting_that_the_phase_does_not_see_is_tried() -> None:
    assert {"model": {*MODEL}, "train": {*TRAIN}} == {n: {*s} for n, s in UNSEEN.items()}
    for setting, value in (MODEL | TRAIN).items():
        table = RECIPE.model if setting in MODEL else RECIPE.train
        assert getattr(table, setting) != value


@pytest.mark.parametrize(
    "change",
    [
        {"backbone": "resnet10"}, {"image_size": (64, 32)}, {"cbam_reduction": 8},
        {"modalities": ("rgb", "tir")}, {"seed": 1}, {"lr": 0.5}, {"epochs": 2},
        {"branch": 0.5}, {"plain": 0.0}, {"margin": 0.1}, {"clip": 0.0}, {"validation": 1},
    ],
)  # fmt: skip
def test_another_first_phase_is_not_shared(change: dict[str, Any], tmp_path: Path) -> None:
    assert place_of(tmp_path, varied(**change)) != place_of(tmp_path, RECIPE)


def test_nor_is_that_of_other_data_or_other_weights_to_start_from(tmp_path: Path) -> None:
    assert place_of(tmp_path, RECIPE, "other") != place_of(tmp_path, RECIPE)
    model = initial_model(RECIPE.model, seed=0, pretrained=False)
    with torch.no_grad():
        next(model.parameters()).add_(1)
    phase = BranchPhase(tmp_path, Origin(recipe=RECIPE, data="d"), model)
    assert phase.path != place_of(tmp_path, RECIPE)


def test_a_run_that_is_resumed_goes_on_where_it_was(
    shared: Path, small_set: DataSet, tmp_path: Path
) -> None:
    recipe = varied(graph_epochs=2)
    run = tmp_path / "run"

    def stop(report: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe, small_set, run, branches=shared, on_epoch=stop)
    train(recipe, small_set, run, branches=shared, resume=True)
    alone = train(recipe, small_set, tmp_path / "alone")
    assert same(weights_of(run / BEST), weights_of(alone))


def test_what_is_damaged_is_named_and_not_learned_from(
    shared: Path, small_set: DataSet, tmp_path: Path
) -> None:
    (kept,) = shared.iterdir()
    folder = tmp_path / "branches"
    folder.mkdir()
    (folder / kept.name).write_bytes(kept.read_bytes()[:-100])
    with pytest.raises(TrainingError, match=f"{kept.name}: not what a phase left: remove it"):
        train(RECIPE, small_set, tmp_path / "run", branches=folder)
