"""Training runs that stop, resume and refuse."""

from __future__ import annotations

import dataclasses
import multiprocessing
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor

from denet.checkpoint import load_checkpoint
from denet.config import ConfigError
from denet.data.records import DataError, DataSet
from denet.embed import TorchEmbedder
from denet.evaluate import (
    Split,
    evaluate_states,
)
from denet.graph import RGB_NIR_TIR, Composition
from denet.initialize import initial_model
from denet.losses import Losses
from denet.run import BEST, LAST, LOG, RECIPE, STATE, EpochReport, TrainingError
from denet.train import TrainProgress, hold_out, train
from tests.conftest import TINY
from tests.denet.training import SHORT, same, weights_of, with_train

COMPLETE = RGB_NIR_TIR.complete
MODALITIES = RGB_NIR_TIR.modalities
PAIRS = RGB_NIR_TIR.pairs
STATES = RGB_NIR_TIR.states


def test_branches_alone_need_a_loss(small_set: DataSet, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"graph_epochs = 1.*both are 0"):
        train(with_train(graph_epochs=1, branch=0.0, plain=0.0), small_set, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_leaves_checkpoints_a_log_and_no_other_file(
    small_set: DataSet, tmp_path: Path
) -> None:
    best = train(SHORT, small_set, tmp_path / "run")
    assert best == tmp_path / "run" / BEST
    assert {p.name for p in best.parent.iterdir()} == {BEST, LAST, LOG, STATE, RECIPE}
    assert (best.parent / LOG).read_text().count("\n") == 3
    before = initial_model(TINY, seed=0, pretrained=False).state_dict()
    after = weights_of(best)
    moved = [n for n in before if n.endswith("weight") and not torch.equal(before[n], after[n])]
    assert len(moved) == sum(n.endswith("weight") for n in before)


def interrupt_at(epoch: int, batch: int) -> Callable[..., None]:
    def on_batch(progress: TrainProgress) -> None:
        if (progress.epoch, progress.batch) == (epoch, batch):
            raise KeyboardInterrupt

    return on_batch


@pytest.mark.parametrize(("phases", "cut"), [((3, 0), (2, 2)), ((2, 1), (2, 2)), ((1, 2), (3, 2))])
def test_a_resumed_run_has_the_weights_of_an_uninterrupted_one(
    phases: tuple[int, int], cut: tuple[int, int], small_set: DataSet, tmp_path: Path
) -> None:
    recipe = with_train(
        epochs=phases[0],
        graph_epochs=phases[1],
        branch=1.0,
        optimizer="adamw",
        schedule="cosine",
        warmup=1,
    )
    train(recipe, small_set, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(recipe, small_set, tmp_path / "cut", on_batch=interrupt_at(*cut))
    train(None, small_set, tmp_path / "cut", resume=True)  # its own recipe
    assert same(weights_of(tmp_path / "whole" / LAST), weights_of(tmp_path / "cut" / LAST))


def test_two_runs_of_a_seed_are_equal_and_another_seed_is_not(
    small_set: DataSet, tmp_path: Path
) -> None:
    one_epoch = {"epochs": 1}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(with_train(**one_epoch, seed=seed), small_set, tmp_path / name)
    a, b, c = (weights_of(tmp_path / name / LAST) for name in "abc")
    assert same(a, b)
    assert not same(a, c)


def test_branches_trained_alone_are_alike_in_every_composition(
    small_set: DataSet, tmp_path: Path
) -> None:
    recipe = with_train(
        epochs=1, graph_epochs=1, branch=1.0, plain=1.0, states=1.0, dropout=0.3, clip=1.0
    )
    found: dict[str, dict[str, Tensor]] = {}
    kinds: tuple[Composition, ...] = ("dynamic", "none", "concat")
    for kind in kinds:
        model = msgspec.structs.replace(recipe.model, composition=kind)
        varied = msgspec.structs.replace(recipe, model=model)
        weights = weights_of(train(varied, small_set, tmp_path / kind))
        found[kind] = {n: w for n, w in weights.items() if n.startswith("engines.branch_")}
    assert same(found["dynamic"], found["none"])
    assert same(found["dynamic"], found["concat"])
    before = initial_model(TINY, seed=0, pretrained=False).state_dict()
    assert not any(torch.equal(w, before[n]) for n, w in found["concat"].items())


def test_the_best_epoch_is_chosen_on_held_out_identities(
    small_set: DataSet, tmp_path: Path
) -> None:
    reports = []
    recipe = with_train(validation=2, evaluate_every=1)
    best = train(recipe, small_set, tmp_path / "run", on_epoch=reports.append)
    maps = [report.map for report in reports]
    assert all(0 <= value <= 100 for value in maps)
    _, held_out = hold_out(small_set.train, 2)
    rankings = evaluate_states(
        TorchEmbedder(load_checkpoint(best), torch.device("cpu")), Split(held_out, held_out)
    )
    assert np.mean([r.map for r in rankings.values()]) == pytest.approx(max(maps))


def test_a_loss_that_is_no_number_stops_the_run_as_it_was(
    small_set: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "denet.train.learning_rate", lambda _, progress: 1e-3 if progress < 1 else 1e30
    )
    recipe = with_train(epochs=3)
    run = tmp_path / "run"
    with pytest.raises(TrainingError, match=r"epoch 2, batch \d: the loss is no number.*epoch 1"):
        train(recipe, small_set, run)
    assert (run / LOG).read_text().count("\n") == 2
    weights = weights_of(run / LAST)
    assert all(bool(w.isfinite().all()) for w in weights.values())
    with pytest.raises(TrainingError, match="no number"):
        train(None, small_set, run, resume=True)
    assert same(weights_of(run / LAST), weights)


@pytest.mark.parametrize("workers", [0, 2])
def test_mixed_precision_in_bfloat16(workers: int, small_set: DataSet, tmp_path: Path) -> None:
    reports: list[EpochReport] = []
    recipe = with_train(precision="bf16", epochs=2, workers=workers)
    best = train(recipe, small_set, tmp_path / "run", on_epoch=reports.append)
    assert {w.dtype for n, w in weights_of(best).items() if not n.endswith("tracked")} == {
        torch.float32
    }
    assert all(0 < value < 100 for r in reports for value in (r.total, r.similarity))


def test_progress_is_told_from_the_first_batch_of_each_epoch(
    small_set: DataSet, tmp_path: Path
) -> None:
    told: list[TrainProgress] = []
    train(SHORT, small_set, tmp_path / "run", on_batch=told.append)
    assert [(p.epoch, p.batch) for p in told] == [(e, b) for e in (1, 2) for b in range(5)]
    assert {(p.epochs, p.batches) for p in told} == {(2, 4)}
    assert told[0].describe() == "epoch 1/2"
    line = told[-1].describe()
    assert line.startswith("epoch 2/2  ")
    for word in ("images/s", *(f"{name} " for name in Losses._fields if name != "total")):
        assert word in line


def test_a_loader_process_that_dies_is_one_line(small_set: DataSet, tmp_path: Path) -> None:
    def kill_a_child(progress: TrainProgress) -> None:
        if progress.batch == 1:
            multiprocessing.active_children()[0].kill()

    with pytest.raises(DataError, match="lower workers"):
        train(with_train(workers=1, epochs=9), small_set, tmp_path / "run", on_batch=kill_a_child)


def test_a_run_is_not_written_over(small_set: DataSet, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("precious")
    with pytest.raises(TrainingError, match="not empty"):
        train(SHORT, small_set, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_what_cannot_be_resumed_says_why(small_set: DataSet, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no run to resume"):
        train(None, small_set, tmp_path / "none", resume=True)
    train(with_train(epochs=1), small_set, tmp_path / "run")
    with pytest.raises(TrainingError, match=r"recipe\.json: train\.epochs is 1 there and 9 here"):
        train(with_train(epochs=9), small_set, tmp_path / "run", resume=True)
    other = dataclasses.replace(small_set, train=small_set.train[1:])
    with pytest.raises(TrainingError, match="other training data"):
        train(with_train(epochs=1), other, tmp_path / "run", resume=True)
    (tmp_path / "run" / STATE).write_bytes(b"torn")
    with pytest.raises(TrainingError, match="cannot be resumed"):
        train(with_train(epochs=1), small_set, tmp_path / "run", resume=True)


def test_too_many_held_out_identities(small_set: DataSet, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least two"):
        train(with_train(validation=3), small_set, tmp_path / "run")
    assert not (tmp_path / "run").exists()
