"""The trainer of the rivals: as many steps as DENet has, and runs that go on where they stopped."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import torch

from denet.data.records import DataSet
from denet.recipe import Recipe
from denet.rivals import training
from denet.rivals.rival import Rival
from denet.rivals.training import STATE, one_phase, train_rival
from denet.run import TrainingError
from denet.schedule import learning_rate
from tests.denet.training import SHORT, with_train

NAME = "ddag"
"""It has dropout, a weight that follows the epochs and statistics: all that a run must keep."""

MODEL = msgspec.structs.replace(SHORT.model, backbone="resnet10")
RECIPE = msgspec.structs.replace(with_train(epochs=1, graph_epochs=2), model=MODEL)


class Stop(Exception):  # noqa: N818
    """What interrupts a run."""


def equal(one: Rival, other: Rival) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def whole(
    small_set: DataSet, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Rival, list[float]]:
    losses: list[float] = []
    out = tmp_path_factory.mktemp("rival") / "run"
    rival, _ = train_rival(NAME, RECIPE, small_set, out, on_batch=losses.append)
    return rival, losses


def test_a_rival_has_the_steps_of_both_phases_in_one_schedule(
    whole: tuple[Rival, list[float]], small_set: DataSet
) -> None:
    batch = RECIPE.train.identities * RECIPE.train.instances
    assert len(whole[1]) == 3 * (len(small_set.train) // batch)
    config = one_phase(msgspec.structs.replace(RECIPE.train, schedule="cosine"))
    assert (config.epochs, config.graph_epochs) == (3, 0)
    rates = [learning_rate(config, i / 10) for i in range(30)]
    assert rates == sorted(rates, reverse=True)


def test_a_run_that_was_stopped_ends_as_one_that_was_not(
    whole: tuple[Rival, list[float]], small_set: DataSet, tmp_path: Path
) -> None:
    stopped: list[float] = []
    after = len(whole[1]) // 3 + 2  # in the second epoch

    def stop(loss: float) -> None:
        stopped.append(loss)
        if len(stopped) == after:
            raise Stop

    with pytest.raises(Stop):
        train_rival(NAME, RECIPE, small_set, tmp_path / "run", on_batch=stop)
    rest: list[float] = []
    rival, _ = train_rival(NAME, RECIPE, small_set, tmp_path / "run", on_batch=rest.append)
    assert stopped[:after] == whole[1][:after]
    assert rest == whole[1][len(whole[1]) // 3 :]
    assert equal(rival, whole[0])
    # A run that is finished is not trained again.
    again: list[float] = []
    assert equal(train_rival(NAME, RECIPE, small_set, tmp_path / "run", on_batch=again.append)[0],
                 rival)  # fmt: skip
    assert not again

    other = msgspec.structs.replace(RECIPE, train=msgspec.structs.replace(RECIPE.train, margin=0.5))
    with pytest.raises(TrainingError, match=r"train.margin is 0.3 there and 0.5 here"):
        train_rival(NAME, other, small_set, tmp_path / "run")
    (tmp_path / "run" / STATE).write_bytes(b"no state")
    with pytest.raises(TrainingError, match=r"rival.pt: cannot be resumed from"):
        train_rival(NAME, RECIPE, small_set, tmp_path / "run")


def test_a_loss_that_is_no_number_ends_the_run(
    small_set: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(name: str, setting: training.Setting) -> Rival:
        rival = training.method(name).build(setting)
        next(rival.parameters()).data.fill_(float("nan"))
        return rival

    monkeypatch.setattr(training, "build_rival", build)
    recipe: Recipe = RECIPE
    with pytest.raises(TrainingError, match=r"circle, epoch 1, batch 1: the loss is nan.*lower lr"):
        train_rival("circle", recipe, small_set, tmp_path / "run")
    assert not (tmp_path / "run" / STATE).exists()
