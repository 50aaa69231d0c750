"""Training: the objective against its equations, and runs that stop, resume and refuse."""

from __future__ import annotations

import dataclasses
import json
import math
import multiprocessing
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from typer.testing import CliRunner

import cli
from denet.adversarial import Adversary
from denet.checkpoint import load_checkpoint
from denet.config import ConfigError, ModelConfig, Normalization
from denet.data.records import DataError, DataSet, open_data
from denet.data.synthetic import SyntheticConfig, write_synthetic
from denet.data.transforms import AugmentConfig
from denet.embed import BundleEmbedder, TorchEmbedder
from denet.evaluate import (
    RateError,
    Split,
    draw_states,
    evaluate_rates,
    evaluate_states,
    parse_rates,
    state_matrix,
)
from denet.graph import RGB_NIR_TIR, Composition, Modality
from denet.initialize import initial_model, random_images
from denet.losses import Losses, Objective, Weights
from denet.model import DENet
from denet.recipe import PRESETS, Recipe, TrainConfig, read_recipe
from denet.run import BEST, LAST, LOG, RECIPE, STATE, EpochReport, TrainingError
from denet.schedule import learning_rate, phase_of
from denet.step import Phase, Step
from denet.train import TrainProgress, hold_out, train
from runtime import Runtime
from tests.command import tiny_recipe
from tests.conftest import TINY
from tests.paths import ROOT

COMPLETE = RGB_NIR_TIR.complete
MODALITIES = RGB_NIR_TIR.modalities
PAIRS = RGB_NIR_TIR.pairs
STATES = RGB_NIR_TIR.states

QUICK = TrainConfig(
    epochs=2,
    identities=2,
    instances=2,
    lr=1e-3,
    milestones=(1,),
    dropout=0.5,
    branch=1.0,
    anchor="random",
    pretrained=False,
    workers=0,
)
SHORT = Recipe(model=TINY, train=QUICK)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "synthetic"
    config = SyntheticConfig(identities=8, cameras=2, shots=2, height=32, width=16)
    write_synthetic(path, config)
    return path


@pytest.fixture(scope="module")
def data(root: Path) -> DataSet:
    return open_data(root)


def with_train(**changes: object) -> Recipe:
    return msgspec.structs.replace(SHORT, train=msgspec.structs.replace(QUICK, **changes))


def weights_of(path: Path) -> dict[str, Tensor]:
    return load_checkpoint(path).state_dict()


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# The objective


def weighted(**given: Any) -> Weights:
    """The weights of an objective; a term that is not given has none."""
    silent = {"rho": 0, "mu": 0, "branch": 0, "plain": 0, "states": 0, "adversary": "none"}
    constants = {"margin": 0.3, "smoothing": 0.1, "dropout": 0.0}
    return Weights(**silent | constants | given)


def naive_losses(
    model: DENet, objective: Objective, images: dict[Modality, Tensor], labels: Tensor
) -> Losses:
    """The equations, term by term, on a model in evaluation mode."""
    output = model(images, COMPLETE)
    joined = torch.cat(list(output.parts), dim=1)

    def cross_entropy(logits: Tensor) -> Tensor:
        classes = logits.shape[1]
        target = torch.full_like(logits, 0.1 / classes)
        target[range(len(labels)), labels] += 0.9
        return -(target * logits.log_softmax(1)).sum(1).mean()

    def batch_hard(vectors: Tensor) -> Tensor:
        terms = []
        for i in range(len(labels)):
            distances = (vectors[i] - vectors).norm(dim=1)
            far = max(d for j, d in enumerate(distances) if labels[j] == labels[i] and j != i)
            near = min(d for j, d in enumerate(distances) if labels[j] != labels[i])
            terms.append(torch.relu(far - near + 0.3))
        # The library averages over the triplets that violate the margin.
        active = [term for term in terms if term > 0]
        return torch.stack(active).mean() if active else torch.zeros(())

    def head(
        neck: torch.nn.Module, classifier: torch.nn.Module, v: Tensor
    ) -> tuple[Tensor, Tensor]:
        return cross_entropy(classifier(neck(v))), batch_hard(v)

    identity, triplet = head(model.neck, objective.whole.classifier, joined)
    branch = torch.stack(
        [
            sum(
                head(
                    objective.branches[m].neck,
                    objective.branches[m].classifier,
                    output.branches[m].pooled,
                )
            )
            for m in MODALITIES
        ]
    ).mean()
    pooled = torch.cat([output.branches[m].pooled for m in MODALITIES], dim=1)
    plain = sum(head(objective.plain.neck, objective.plain.classifier, pooled))
    each, vectors = [], []
    shared = objective.states
    for state in STATES:
        own = model({m: images[m] for m in state.available}, state).parts[:3]
        vectors.append(torch.cat(list(own), dim=1))
        each.append(sum(head(shared.neck, shared.classifier, vectors[-1])))
    labels = labels.repeat(len(STATES))
    mixed = sum(head(shared.neck, shared.classifier, torch.cat(vectors)))
    states = (torch.stack(each).mean() + mixed) / 2
    recovery, similarity = [], []
    for source, target in PAIRS:
        made = model.engines[f"cmft_{source}2{target}"](output.branches[source].feature)
        image = functional.pixel_shuffle(made.grid, 4)
        recovery.append(((image - images[target]) ** 2).mean())
        real = output.branches[target].pooled
        a, b = (v - real.mean(dim=0) for v in (made.pooled, real))
        similarity.append((1 - (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))).mean())
    rec, sim = torch.stack(recovery).mean(), torch.stack(similarity).mean()
    total = identity + triplet + 0.5 * branch + 4 * plain + 5 * states + 2 * rec + 3 * sim
    return Losses(identity, triplet, branch, plain, states, rec, sim, torch.zeros(()), total)


def test_the_objective_is_that_of_the_equations() -> None:
    model = initial_model(TINY, seed=0, pretrained=False)
    torch.manual_seed(0)
    weights = weighted(rho=2, mu=3, branch=0.5, plain=4, states=5, dropout=0.5)
    objective = Objective(model, 3, weights).eval()
    for head in (
        objective.whole,
        objective.plain,
        objective.states,
        *objective.branches.values(),
    ):
        torch.nn.init.normal_(head.classifier.weight)
    images = {m: random_images(6, TINY.image_size) for m in MODALITIES}
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    found = Step(model, objective).eval()(images, labels, "rgb")
    for name, a, b in zip(
        Losses._fields, found, naive_losses(model, objective, images, labels), strict=True
    ):
        assert a.item() == pytest.approx(b.item(), rel=1e-4), name


def test_every_direction_is_recovered_once_whatever_the_anchor() -> None:
    model = initial_model(TINY, seed=0, pretrained=False)
    images = {m: random_images(2, TINY.image_size) for m in MODALITIES}
    runs: list[str] = []
    for name, engine in model.engines.items():
        if name.startswith("cmft"):
            engine.register_forward_hook(lambda *_, name=name: runs.append(name))
    for anchor in MODALITIES:
        runs.clear()
        recovered = model.recover_all(model(images, COMPLETE, anchor))
        assert set(recovered) == set(PAIRS)
        assert sorted(runs) == sorted(f"cmft_{s}2{t}" for s, t in PAIRS)


def test_the_learning_rate_of_the_presets() -> None:
    paper = PRESETS["paper"].train
    assert [learning_rate(paper, e) for e in (0, 29.9, 30, 55)] == pytest.approx(
        [0.01, 0.01, 1e-3, 1e-4]
    )
    strong = PRESETS["strong"].train
    assert learning_rate(strong, 2.5) == pytest.approx(strong.lr / 2)
    assert learning_rate(strong, 5) == pytest.approx(strong.lr)
    assert learning_rate(strong, 42.5) == pytest.approx(strong.lr / 2)
    assert learning_rate(strong, 79.999) == pytest.approx(0, abs=1e-9)
    assert learning_rate(strong, 120) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("composition", get_args(Composition))
@pytest.mark.parametrize("anchor", MODALITIES)
@pytest.mark.parametrize("adversary", get_args(Adversary))
def test_every_parameter_gets_a_gradient(
    anchor: Modality, composition: Composition, adversary: Adversary
) -> None:
    # So several processes need not search for those that get none, batch by batch.
    config = msgspec.structs.replace(TINY, composition=composition)
    model = initial_model(config, seed=0, pretrained=False)
    weights = weighted(rho=0, mu=0, branch=1, plain=1, states=1, adversary=adversary, dropout=0.5)
    step = Step(model, Objective(model, 2, weights)).train()
    images = {m: random_images(4, TINY.image_size) for m in MODALITIES}
    step(images, torch.tensor([0, 0, 1, 1]), anchor).total.backward()
    assert [name for name, p in step.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("adversary", get_args(Adversary))
@pytest.mark.parametrize("anchor", MODALITIES)
@pytest.mark.parametrize("phase", get_args(Phase))
def test_a_phase_trains_its_own_part_and_all_of_it(
    phase: Phase, anchor: Modality, adversary: Adversary
) -> None:
    model = initial_model(TINY, seed=0, pretrained=False)
    weights = weighted(rho=1, mu=1, branch=1, plain=1, states=1, adversary=adversary)
    step = Step(model, Objective(model, 2, weights)).enter(phase).train()
    images = {m: random_images(4, TINY.image_size) for m in MODALITIES}
    before = {name: value.clone() for name, value in step.state_dict().items()}
    losses = step(images, torch.tensor([0, 0, 1, 1]), anchor)
    losses.total.backward()

    of_branches = ("model.engines.branch", "objective.branches", "objective.plain")
    for name, parameter in step.named_parameters():
        learns = phase == "joint" or name.startswith(of_branches) == (phase == "branches")
        assert (parameter.grad is not None) == learns, name
    # Statistics too: those of what stands still stand still.
    for name, value in step.state_dict().items():
        if name.endswith(("running_mean", "running_var")):
            moves = phase == "joint" or name.startswith(of_branches) == (phase == "branches")
            assert torch.equal(value, before[name]) != moves, name
    own = {"branch", "plain"}
    behind = {"identity", "triplet", "states", "recovery", "similarity"}
    expected = {"joint": own | behind, "branches": own, "graph": behind}[phase]
    if adversary != "none" and phase != "branches":
        expected |= {"adversary"}
    assert {name for name in losses._fields if getattr(losses, name)} == expected | {"total"}


def test_joint_losses_are_those_of_both_phases() -> None:
    model = initial_model(TINY, seed=0, pretrained=False)
    weights = weighted(rho=1, mu=2, branch=3, plain=4, states=5)
    step = Step(model, Objective(model, 2, weights)).eval()
    images = {m: random_images(4, TINY.image_size) for m in MODALITIES}
    labels = torch.tensor([0, 0, 1, 1])
    joint, branches, graph = (step.enter(phase)(images, labels, "rgb") for phase in get_args(Phase))
    for name, whole, one, other in zip(Losses._fields, joint, branches, graph, strict=True):
        assert whole.item() == pytest.approx(one.item() + other.item(), rel=1e-6), name


def test_the_learning_rate_of_each_phase() -> None:
    config = TrainConfig(epochs=4, graph_epochs=2, warmup=1, schedule="cosine", lr=1.0)
    at = [learning_rate(config, epoch) for epoch in (0, 1, 2.5, 3.999, 4, 5, 5.999)]
    assert at == pytest.approx([0.01, 1, 0.5, 0, 0.01, 1, 0], abs=1e-5)
    assert [phase_of(config, e) for e in range(6)] == ["branches"] * 4 + ["graph"] * 2
    assert phase_of(TrainConfig(), 0) == "joint"


def test_branches_alone_need_a_loss(data: DataSet, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"graph_epochs = 1.*both are 0"):
        train(with_train(graph_epochs=1, branch=0.0, plain=0.0), data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_objective_is_computed_in_float32_under_mixed_precision() -> None:
    model = initial_model(TINY, seed=0, pretrained=False)
    torch.manual_seed(0)
    weights = weighted(rho=1, mu=1, branch=1, plain=1, states=1)
    step = Step(model, Objective(model, 4, weights)).eval()
    images = {m: random_images(8, TINY.image_size) for m in MODALITIES}
    labels = torch.arange(4).repeat_interleave(2)
    inside: set[torch.dtype] = set()
    for module in step.objective.modules():
        module.register_forward_hook(
            lambda module, given, made: inside.update(
                t.dtype for t in (*given, made) if isinstance(t, Tensor) and t.is_floating_point()
            )
        )
    exact = step(images, labels, "rgb")
    with torch.autocast("cpu", torch.bfloat16):
        mixed = step(images, labels, "rgb")
    assert inside == {torch.float32}
    for name, a, b in zip(Losses._fields, exact, mixed, strict=True):
        assert b.dtype == torch.float32, name
        assert b.item() == pytest.approx(a.item(), rel=0.2), name


# Runs


def test_a_run_leaves_checkpoints_a_log_and_no_other_file(data: DataSet, tmp_path: Path) -> None:
    best = train(SHORT, data, tmp_path / "run")
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
    phases: tuple[int, int], cut: tuple[int, int], data: DataSet, tmp_path: Path
) -> None:
    recipe = with_train(
        epochs=phases[0],
        graph_epochs=phases[1],
        branch=1.0,
        optimizer="adamw",
        schedule="cosine",
        warmup=1,
    )
    train(recipe, data, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(recipe, data, tmp_path / "cut", on_batch=interrupt_at(*cut))
    train(None, data, tmp_path / "cut", resume=True)  # its own recipe
    assert same(weights_of(tmp_path / "whole" / LAST), weights_of(tmp_path / "cut" / LAST))


def test_two_runs_of_a_seed_are_equal_and_another_seed_is_not(
    data: DataSet, tmp_path: Path
) -> None:
    one_epoch = {"epochs": 1}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(with_train(**one_epoch, seed=seed), data, tmp_path / name)
    a, b, c = (weights_of(tmp_path / name / LAST) for name in "abc")
    assert same(a, b)
    assert not same(a, c)


def test_branches_trained_alone_are_alike_in_every_composition(
    data: DataSet, tmp_path: Path
) -> None:
    recipe = with_train(
        epochs=1, graph_epochs=1, branch=1.0, plain=1.0, states=1.0, dropout=0.3, clip=1.0
    )
    found: dict[str, dict[str, Tensor]] = {}
    kinds: tuple[Composition, ...] = ("dynamic", "none", "concat")
    for kind in kinds:
        model = msgspec.structs.replace(recipe.model, composition=kind)
        varied = msgspec.structs.replace(recipe, model=model)
        weights = weights_of(train(varied, data, tmp_path / kind))
        found[kind] = {n: w for n, w in weights.items() if n.startswith("engines.branch_")}
    assert same(found["dynamic"], found["none"])
    assert same(found["dynamic"], found["concat"])
    before = initial_model(TINY, seed=0, pretrained=False).state_dict()
    assert not any(torch.equal(w, before[n]) for n, w in found["concat"].items())


def test_the_best_epoch_is_chosen_on_held_out_identities(data: DataSet, tmp_path: Path) -> None:
    reports = []
    recipe = with_train(validation=2, evaluate_every=1)
    best = train(recipe, data, tmp_path / "run", on_epoch=reports.append)
    maps = [report.map for report in reports]
    assert all(0 <= value <= 100 for value in maps)
    _, held_out = hold_out(data.train, 2)
    rankings = evaluate_states(
        TorchEmbedder(load_checkpoint(best), torch.device("cpu")), Split(held_out, held_out)
    )
    assert np.mean([r.map for r in rankings.values()]) == pytest.approx(max(maps))


def test_a_loss_that_is_no_number_stops_the_run_as_it_was(
    data: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "denet.train.learning_rate", lambda _, progress: 1e-3 if progress < 1 else 1e30
    )
    recipe = with_train(epochs=3)
    run = tmp_path / "run"
    with pytest.raises(TrainingError, match=r"epoch 2, batch \d: the loss is no number.*epoch 1"):
        train(recipe, data, run)
    assert (run / LOG).read_text().count("\n") == 2
    weights = weights_of(run / LAST)
    assert all(bool(w.isfinite().all()) for w in weights.values())
    with pytest.raises(TrainingError, match="no number"):
        train(None, data, run, resume=True)
    assert same(weights_of(run / LAST), weights)


@pytest.mark.parametrize("workers", [0, 2])
def test_mixed_precision_in_bfloat16(workers: int, data: DataSet, tmp_path: Path) -> None:
    reports: list[EpochReport] = []
    recipe = with_train(precision="bf16", epochs=2, workers=workers)
    best = train(recipe, data, tmp_path / "run", on_epoch=reports.append)
    assert {w.dtype for n, w in weights_of(best).items() if not n.endswith("tracked")} == {
        torch.float32
    }
    assert all(0 < value < 100 for r in reports for value in (r.total, r.similarity))


def test_progress_is_told_from_the_first_batch_of_each_epoch(data: DataSet, tmp_path: Path) -> None:
    told: list[TrainProgress] = []
    train(SHORT, data, tmp_path / "run", on_batch=told.append)
    assert [(p.epoch, p.batch) for p in told] == [(e, b) for e in (1, 2) for b in range(5)]
    assert {(p.epochs, p.batches) for p in told} == {(2, 4)}
    assert told[0].describe() == "epoch 1/2"
    line = told[-1].describe()
    assert line.startswith("epoch 2/2  ")
    for word in ("images/s", *(f"{name} " for name in Losses._fields if name != "total")):
        assert word in line


def test_a_loader_process_that_dies_is_one_line(data: DataSet, tmp_path: Path) -> None:
    def kill_a_child(progress: TrainProgress) -> None:
        if progress.batch == 1:
            multiprocessing.active_children()[0].kill()

    with pytest.raises(DataError, match="lower workers"):
        train(with_train(workers=1, epochs=9), data, tmp_path / "run", on_batch=kill_a_child)


def test_a_run_is_not_written_over(data: DataSet, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("precious")
    with pytest.raises(TrainingError, match="not empty"):
        train(SHORT, data, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_what_cannot_be_resumed_says_why(data: DataSet, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no run to resume"):
        train(None, data, tmp_path / "none", resume=True)
    train(with_train(epochs=1), data, tmp_path / "run")
    with pytest.raises(TrainingError, match=r"recipe\.json: train\.epochs is 1 there and 9 here"):
        train(with_train(epochs=9), data, tmp_path / "run", resume=True)
    other = dataclasses.replace(data, train=data.train[1:])
    with pytest.raises(TrainingError, match="other training data"):
        train(with_train(epochs=1), other, tmp_path / "run", resume=True)
    (tmp_path / "run" / STATE).write_bytes(b"torn")
    with pytest.raises(TrainingError, match="cannot be resumed"):
        train(with_train(epochs=1), data, tmp_path / "run", resume=True)


def test_too_many_held_out_identities(data: DataSet, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least two"):
        train(with_train(validation=3), data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


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


# Evaluation


def test_a_bundle_has_the_accuracy_of_its_checkpoint(
    model: DENet, runtime: Runtime, data: DataSet
) -> None:
    split = Split(data.query, data.gallery)
    expected = evaluate_states(TorchEmbedder(model, torch.device("cpu")), split)
    found = evaluate_states(BundleEmbedder(runtime), split)
    assert list(found) == list(STATES)
    for state in STATES:
        assert found[state].map == pytest.approx(expected[state].map, abs=0.05)


def test_the_diagonal_of_the_matrix_is_the_accuracy_in_each_state(
    model: DENet, data: DataSet
) -> None:
    split = Split(data.query, data.gallery)
    embed = TorchEmbedder(model, torch.device("cpu"))
    states = evaluate_states(embed, split)
    matrix = state_matrix(embed, split)
    assert len(matrix) == 49
    for state in STATES:
        assert matrix[state, state].map == states[state].map


def test_a_rate_of_zero_is_the_complete_state(model: DENet, data: DataSet) -> None:
    split = Split(data.query, data.gallery)
    embed = TorchEmbedder(model, torch.device("cpu"))
    rates = evaluate_rates(embed, split, [0.0, 1.0], seed=0)
    assert rates[0.0].map == evaluate_states(embed, split, [COMPLETE])[COMPLETE].map
    assert rates[1.0].map != rates[0.0].map


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_a_missing_rate_is_met_exactly_and_repeatably(rate: float) -> None:
    states = draw_states(RGB_NIR_TIR, 1000, rate, seed=3)
    assert sum(state != COMPLETE for state in states) == round(1000 * rate)
    assert states == draw_states(RGB_NIR_TIR, 1000, rate, seed=3)
    if rate:
        assert states != draw_states(RGB_NIR_TIR, 1000, rate, seed=4)
        assert set(states) == set(STATES) - ({COMPLETE} if rate == 1 else set())


def test_missing_rates_are_read() -> None:
    assert parse_rates("0:1:0.1") == pytest.approx([i / 10 for i in range(11)])
    assert parse_rates("0.5") == [0.5]
    for text in ("", "a", "0:1", "0:1:0", "2", "-0.1", "0:2:1"):
        with pytest.raises(RateError, match="missing rate"):
            parse_rates(text)


def test_a_set_that_lacks_a_modality_cannot_be_evaluated_complete(
    model: DENet, data: DataSet
) -> None:
    poor = tuple(record.within(RGB_NIR_TIR.parse("rgb+tir")) for record in data.query)
    embed = TorchEmbedder(model, torch.device("cpu"))
    with pytest.raises(DataError, match="no image of nir"):
        evaluate_states(embed, Split(poor, poor))
    ranked = evaluate_states(embed, Split(poor, poor), [RGB_NIR_TIR.parse("tir")])
    assert not math.isnan(ranked[RGB_NIR_TIR.parse("tir")].map)


# From the command line


def denet(*arguments: object) -> str:
    result = CliRunner().invoke(cli.app, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_from_synthesis_to_evaluation(tmp_path: Path) -> None:
    data, run = tmp_path / "data", tmp_path / "run"
    denet("synth", data, "--identities", 8, "--cameras", 2, "--shots", 2, "--height", 32,
          "--width", 16)  # fmt: skip
    assert "train" in denet("data", data)
    recipe = tmp_path / "r.toml"
    recipe.write_text(tiny_recipe(epochs=1, graph_epochs=1, workers=0))
    assert BEST in denet("train", data, "--out", run, "--preset", "small", "--config", recipe)
    text = denet("eval", run / BEST, data, "--missing-rate", "0.5", "--matrix", "--json")
    facts = json.loads(text)
    assert list(facts["states"]) == [state.name for state in STATES]
    assert len(facts["matrix"]) == 49
    assert facts["missing_rate"]["0.5"]["queries"] == 16
    assert "mean" in denet("eval", run / BEST, data)


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for arguments in (
        ("data", tmp_path / "none"),
        ("train", tmp_path / "empty", "--out", tmp_path / "run"),
        ("eval", tmp_path / "none.safetensors", tmp_path / "empty"),
        ("synth", tmp_path / "empty"),
        ("synth", tmp_path / "new", "--identities", "1"),
    ):
        result = CliRunner().invoke(cli.app, [str(a) for a in arguments])
        assert result.exit_code == 2, result.output
        assert result.stderr.strip().startswith("error: ")
        assert "Traceback" not in result.output
    assert [p.name for p in tmp_path.iterdir()] == ["empty"]


# Documentation


def test_every_key_of_a_recipe_is_documented_with_its_default() -> None:
    text = (ROOT / "docs" / "training.md").read_text()
    rows = {match[1]: match[2] for match in re.finditer(r"^\| `(\w+)` \| (.*?) \|", text, re.M)}
    for table in (TrainConfig, ModelConfig, Normalization, AugmentConfig):
        for field in msgspec.structs.fields(table):
            default = {} if field.default is msgspec.NODEFAULT else field.default
            written = "none" if default is None else json.dumps(default)
            assert rows.get(field.name) == written, f"{field.name} is {written} in {table.__name__}"
