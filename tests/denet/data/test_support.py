"""How many samples each loss will see, and what is too few."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from denet.data.records import DataError, ImageRef, Record, complete
from denet.data.support import Needs, Support
from denet.graph import RGB_NIR_TIR, Graph
from denet.recipe import PRESETS, Recipe
from denet.run import data_digest
from denet.train import needs_of
from tests.command import denet
from tests.denet.data.sets import split
from tests.denet.training import with_train

TWO = Graph(("rgb", "tir"))


def records(states: Sequence[str], identities: int = 4) -> tuple[Record, ...]:
    return tuple(
        Record(
            f"{i}", i % identities, i % 2,
            {m: ImageRef(Path(f"{i}_{m}")) for m in RGB_NIR_TIR.parse(state).available},
        )
        for i, state in enumerate(states)
    )  # fmt: skip


def test_what_each_loss_sees_is_counted() -> None:
    rows = records(["rgb+nir+tir"] * 5 + ["rgb+nir"] * 4 + ["rgb"] * 3 + ["tir"] * 2)
    assert Support.of(rows, RGB_NIR_TIR).lines() == [
        "5 of 14 training samples are complete",
        "L_ReID sees 14, each in the state that it is in",
        "a branch sees rgb 12, nir 9, tir 7; all of them side by side 5",
        "L_rec and L_sim see rgb and nir 9, rgb and tir 5, nir and tir 5, either way",
        "the loss on states sees rgb+nir+tir 5, rgb+nir 9, rgb+tir 5, nir+tir 5, rgb 12, nir 9, "
        "tir 7",
    ]
    assert Support.of(rows, Graph(("nir",))).lines()[1] == "5 have no nir and are left out"
    assert Support.of(complete(rows, RGB_NIR_TIR), RGB_NIR_TIR).lines() == []
    assert [r.name for r in complete(rows, TWO)] == ["0", "1", "2", "3", "4"]


def test_a_set_in_which_nobody_lacks_anything_is_never_too_small() -> None:
    for count in (2, 3, 40):
        rows = records(["rgb+nir+tir"] * count)
        assert Support.of(rows, RGB_NIR_TIR).faults(Needs(beside=True)) == []


@pytest.mark.parametrize(
    ("states", "needs", "told"),
    [
        (["rgb+nir"] * 90 + ["rgb+nir+tir"] * 15, Needs(), "too few training samples have tir: 15"),
        (["rgb+nir"] * 90, Needs(), "no training sample has tir, which a model of rgb, nir, tir"),
        (
            ["rgb+nir"] * 40 + ["rgb+tir"] * 40 + ["nir+tir"] * 15,
            Needs(),
            "too few training samples have both nir and tir: 15 of 95",
        ),
        (["rgb"] * 40 + ["nir"] * 40 + ["tir"] * 40, Needs(), "both rgb and nir: 0 of 120"),
        (
            ["rgb+nir"] * 40 + ["rgb+tir"] * 40 + ["nir+tir"] * 40,
            Needs(beside=True),
            "give `branch` a weight",
        ),
        (["rgb", "nir", "tir"], Needs(), "no two of the 3 training samples share a modality"),
        (["rgb", "nir", "tir"], Needs(directions=False), "share a modality"),
    ],
)
def test_what_too_few_samples_support_is_named(states: list[str], needs: Needs, told: str) -> None:
    with pytest.raises(DataError) as refusal:
        Support.of(records(states), RGB_NIR_TIR).check(needs)
    assert told in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_many_samples_of_one_person_are_too_few() -> None:
    rows = records(["rgb"] * 40) + records(["rgb+tir"] * 40, identities=1)
    (fault,) = Support.of(rows, TWO).faults(Needs(directions=False))
    assert fault.startswith("too few training samples have tir: 40 of 80, of 1 identities")


def test_needs_are_those_of_the_recipe() -> None:
    assert [needs_of(recipe) for recipe in PRESETS.values()] == [Needs()] * 3
    assert not needs_of(with_train(rho=0.0, mu=0.0)).directions
    assert needs_of(with_train(rho=0.0, mu=0.0, graph_epochs=1, branch=0.0, plain=1.0)).beside
    assert not needs_of(with_train(mu=0.0, adversary="feature")).directions
    assert needs_of(with_train(mu=0.0, adversary="image")).directions
    assert needs_of(Recipe()).directions


def test_what_a_sample_lacks_is_in_the_digest_and_nothing_else_is_new() -> None:
    whole, poor = (records([state] * 2) for state in ("rgb+nir+tir", "rgb+nir"))
    assert data_digest(whole, TWO) != data_digest(poor, TWO)
    assert data_digest(whole, RGB_NIR_TIR) == data_digest(poor, Graph(("rgb", "nir")))


def test_a_set_with_gaps_can_be_trained_on_and_is_told(tmp_path: Path) -> None:
    names = [f"{i:06d}_cam{c}_0_00" for i in range(1, 5) for c in (1, 2)]
    split(tmp_path / "train", *names)
    split(tmp_path / "test", *(name.replace("0000", "0001") for name in names))
    for name in names[:3]:
        (tmp_path / f"train/NI/{name}.jpg").unlink()
    result = denet("data", tmp_path)
    assert result.exit_code == 0
    shown = " ".join(result.stdout.split())
    assert "training: 5 of 8 training samples are complete" in shown
    assert "L_rec and L_sim see rgb and nir 5, rgb and tir 8, nir and tir 5, either way" in shown


def test_sensors_that_no_sample_has_together_stop_training(tmp_path: Path) -> None:
    names = [f"{i:06d}_cam{c}_0_00" for i in range(1, 5) for c in (1, 2)]
    split(tmp_path / "train", *names[::2], folders=["RGB"])
    split(tmp_path / "train", *names[1::2], folders=["TI"])
    result = denet("data", tmp_path)
    assert result.exit_code == 2
    assert "too few training samples have both rgb and tir: 0 of 8" in " ".join(
        result.stdout.split()
    )
