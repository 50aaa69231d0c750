"""Training batches whose samples lack modalities, against one sample at a time in float64."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, get_args

import msgspec
import pytest
import torch
from torch import Tensor, nn

from denet.adversarial import Adversary
from denet.config import ModelConfig
from denet.graph import RGB_NIR_TIR, Composition, Graph, Modality
from denet.initialize import initial_model
from denet.losses import Losses, Objective
from denet.model import DENet
from denet.presence import Presence, take
from denet.step import Phase, Step
from tests.conftest import TINY
from tests.denet.networks import config_of, randomized
from tests.denet.one_by_one import Batch, Naive
from tests.denet.training import weighted

MIXED = ("rgb+nir+tir", "rgb", "rgb+tir", "rgb+nir", "nir+tir", "rgb+nir+tir", "tir", "rgb+nir")
NO_COMPLETE = ("rgb+nir", "rgb+tir", "nir", "rgb+nir", "nir+tir", "rgb+tir", "tir", "nir+tir")
NO_TIR = ("rgb+nir", "rgb", "nir", "rgb+nir", "rgb+nir", "rgb", "nir", "rgb+nir")
ONE_TIR = ("rgb+nir", "rgb", "nir", "rgb+nir", "rgb+nir+tir", "rgb", "nir", "rgb+nir")
ONE_EACH = ("rgb", "nir", "tir")
BATCHES = {
    "mixed": MIXED,
    "no complete": NO_COMPLETE,
    "no tir": NO_TIR,
    "one tir": ONE_TIR,
    "one each": ONE_EACH,
}


def batch_of(states: Sequence[str], graph: Graph = RGB_NIR_TIR) -> Batch:
    generator = torch.Generator().manual_seed(len(states))
    samples = tuple(
        {
            m: torch.randn(3, *TINY.image_size, generator=generator, dtype=torch.float64)
            for m in graph.parse(state).available
        }
        for state in states
    )
    return Batch(samples, torch.arange(len(states)) % 2)


@pytest.fixture(autouse=True)
def in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step computes its objective in float32, but not here."""
    monkeypatch.setattr(Tensor, "float", Tensor.double)


MADE: dict[str, DENet] = {}


def model_of(config: ModelConfig) -> DENet:
    key = f"{config} {config.graph}"
    if key not in MADE:
        MADE[key] = initial_model(config, seed=0, pretrained=False)
    return copy.deepcopy(MADE[key])


def step_of(config: ModelConfig = TINY, **weights: Any) -> Step:
    model = model_of(config)
    torch.manual_seed(1)
    objective = Objective(model, 2, weighted(**weights))
    for module in objective.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight)
    step = Step(model, objective)
    randomized(step)
    return step


def loss_of(step: Step, batch: Batch, anchor: Modality = "rgb") -> Losses:
    losses: Losses = step(batch.images, batch.labels, anchor, batch.rows)
    return losses


ALL = {"rho": 2, "mu": 3, "branch": 0.5, "plain": 4, "states": 5}


@pytest.mark.parametrize("name", BATCHES)
@pytest.mark.parametrize("anchor", ["rgb", "tir"])
def test_each_loss_is_that_of_the_samples_that_have_what_it_needs(
    name: str, anchor: Modality
) -> None:
    step, batch = step_of(**ALL), batch_of(BATCHES[name])
    with torch.no_grad():
        found, naive = loss_of(step, batch, anchor), Naive(step, batch, anchor)
        identity, triplet = naive.reid()
        branch, plain, states = naive.branches(), naive.plain(), naive.states()
        recovery, similarity = naive.regression()
        total = identity + triplet + 0.5 * branch + 4 * plain + 5 * states
        total = total + 2 * recovery + 3 * similarity
    expected = (identity, triplet, branch, plain, states, recovery, similarity, 0.0, total)
    for term, a, b in zip(Losses._fields, found, expected, strict=True):
        assert float(a) == pytest.approx(float(b), rel=1e-9, abs=1e-12), term


@pytest.mark.parametrize("form", ["norms", "means"])
def test_so_are_those_of_the_paper_s_form(form: str) -> None:
    config = msgspec.structs.replace(TINY, edge_norm=False, placed=False)
    step = step_of(config, rho=1, mu=1, recovery_losses=form)
    for name in ("mixed", "no tir"):
        batch = batch_of(BATCHES[name])
        with torch.no_grad():
            found, expected = loss_of(step, batch), Naive(step, batch, "rgb").regression()
        assert float(found.recovery) == pytest.approx(float(expected[0]), rel=1e-9)
        assert float(found.similarity) == pytest.approx(float(expected[1]), rel=1e-9)


@pytest.mark.parametrize("kind", ["image", "feature"])
def test_so_is_that_of_an_adversary(kind: str) -> None:
    step = step_of(rho=1, mu=1, adversary=kind)
    for name in ("mixed", "one tir", "one each"):
        batch = batch_of(BATCHES[name])
        with torch.no_grad():
            found, expected = loss_of(step, batch), Naive(step, batch, "rgb").adversary()
        assert float(found.adversary) == pytest.approx(float(expected), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("composition", get_args(Composition))
def test_so_it_is_in_every_composition(composition: Composition) -> None:
    config = msgspec.structs.replace(TINY, composition=composition)
    step, batch = step_of(config, states=1), batch_of(MIXED)
    with torch.no_grad():
        found, naive = loss_of(step, batch), Naive(step, batch, "rgb")
        expected = (*naive.reid(), naive.states())
    for a, b in zip((found.identity, found.triplet, found.states), expected, strict=True):
        assert float(a) == pytest.approx(float(b), rel=1e-9)


@pytest.mark.parametrize(
    ("modalities", "states"),
    [(("rgb", "tir"), ("rgb+tir", "rgb", "tir", "rgb+tir", "rgb")), (("nir",), ("nir", "nir"))],
)
def test_so_it_is_with_fewer_modalities(
    modalities: tuple[Modality, ...], states: tuple[str, ...]
) -> None:
    graph = Graph(modalities)
    step, batch = step_of(config_of(graph, TINY), **ALL), batch_of(states, graph)
    with torch.no_grad():
        found, naive = loss_of(step, batch, modalities[0]), Naive(step, batch, modalities[0])
        expected = (*naive.reid(), naive.branches(), naive.plain(), naive.states())
    for a, b in zip(found[:5], expected, strict=True):
        assert float(a) == pytest.approx(float(b), rel=1e-9)


def statistics(module: nn.Module) -> dict[str, Tensor]:
    return {
        name: value.clone()
        for name, value in module.state_dict().items()
        if name.endswith(("running_mean", "running_var", "num_batches_tracked"))
    }


@pytest.mark.parametrize("composition", ["dynamic", "uncut", "fixed", "transposed", "concat"])
def test_a_complete_batch_is_the_same_either_way(
    composition: Composition, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losses, gradients and statistics of the way for gaps are those of the way without."""
    config = msgspec.structs.replace(TINY, composition=composition)
    batch = batch_of(["rgb+nir+tir"] * 4)
    found = {}
    for way in ("whole", "gaps"):
        step = step_of(config, **ALL).train()
        if way == "gaps":
            monkeypatch.setattr(Presence, "complete", property(lambda _: False))
        losses = loss_of(step, batch, "nir")
        losses.total.backward()
        gradients = {name: p.grad for name, p in step.named_parameters()}
        found[way] = dict(zip(Losses._fields, losses, strict=True)), gradients, statistics(step)
    for one, other in zip(found["whole"], found["gaps"], strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            torch.testing.assert_close(other[name], value, rtol=1e-7, atol=1e-9, msg=name)


def test_no_placeholder_moves_the_statistics_of_a_branch() -> None:
    step, batch = step_of(**ALL).train(), batch_of(MIXED)
    alone = copy.deepcopy(step.model)
    loss_of(step, batch)
    for modality, images in batch.images.items():
        branch = alone.engines[f"branch_{modality}"]
        branch(images)
        found = statistics(step.model.engines[f"branch_{modality}"])
        for name, value in statistics(branch).items():
            torch.testing.assert_close(found[name], value, msg=name)


@pytest.mark.parametrize("name", ["no tir", "one tir"])
def test_statistics_stay_where_fewer_than_two_values_are_new(name: str) -> None:
    step = step_of(**ALL).train()
    before = statistics(step.model)
    losses = loss_of(step, batch_of(BATCHES[name]))
    assert all(bool(loss.isfinite()) for loss in losses)
    after = statistics(step.model)
    still = ("engines.branch_tir", "engines.cmft_tir", "engines.dem_tir")
    observed = {f"engines.cmft_{s}2tir.down.real" for s in ("rgb", "nir")}
    for key, value in before.items():
        norm = key.rpartition(".")[0]  # a CMFT's `real` observes its target, not its source
        stays = norm in observed if norm.endswith("down.real") else key.startswith(still)
        assert torch.equal(after[key], value) == stays, key


@pytest.mark.parametrize("name", BATCHES)
@pytest.mark.parametrize("adversary", get_args(Adversary))
def test_every_parameter_of_a_phase_gets_a_gradient(name: str, adversary: Adversary) -> None:
    # So several processes, whose batches lack different modalities, can exchange them.
    step = step_of(**ALL, adversary=adversary)
    batch = batch_of(BATCHES[name])
    for phase in get_args(Phase):
        step.enter(phase).train().zero_grad(set_to_none=True)
        losses = loss_of(step, batch)
        assert all(bool(loss.isfinite()) for loss in losses)
        losses.total.backward()
        for key, parameter in step.named_parameters():
            assert (parameter.grad is not None) == parameter.requires_grad, key
            assert parameter.grad is None or bool(parameter.grad.isfinite().all()), key


def test_a_modality_that_nobody_has_is_not_moved_by_its_losses() -> None:
    step = step_of(**ALL).train()
    loss_of(step, batch_of(NO_TIR)).total.backward()
    for key, parameter in step.model.named_parameters():
        nothing = key.startswith(("engines.branch_tir", "engines.cmft_tir", "engines.dem_tir"))
        assert parameter.grad is not None
        if nothing:
            assert not bool(parameter.grad.any()), key


def test_under_mixed_precision_it_is_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    model = model_of(TINY)
    step = Step(model, Objective(model, 2, weighted(**ALL))).train()
    batch = batch_of(MIXED)
    images = {m: value.float() for m, value in batch.images.items()}
    with torch.autocast("cpu", torch.bfloat16):
        losses = step(images, batch.labels, "rgb", batch.rows)
    assert {loss.dtype for loss in losses} == {torch.float32}
    losses.total.backward()
    assert all(bool(p.grad.isfinite().all()) for p in step.parameters() if p.grad is not None)


def test_presence_knows_who_has_what() -> None:
    rows = {"rgb": [0, 2], "tir": [1, 2]}
    presence = Presence(RGB_NIR_TIR, rows, 3)
    assert not presence.complete
    assert [state.name for state in presence.states] == ["rgb", "tir", "rgb+tir"]
    assert presence.having(["rgb", "tir"]) == (2,)
    assert presence.having(["nir"]) == ()
    shared = presence.alike(torch.device("cpu"))
    assert shared is not None
    assert shared.tolist() == [[True, False, True], [False, True, True], [True, True, True]]
    assert Presence.whole(RGB_NIR_TIR, 3).alike(torch.device("cpu")) is None
    values = torch.arange(4)
    assert take(values, (1, 3, 5, 7), (3, 7)).tolist() == [1, 3]
    assert take(values, (1, 3, 5, 7), (1, 3, 5, 7)) is values
