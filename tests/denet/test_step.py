"""A training step: what is recovered, and which part of the network learns."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest
import torch

from denet.adversarial import Adversary
from denet.graph import RGB_NIR_TIR, Composition, Graph, Modality
from denet.initialize import initial_model, random_images
from denet.losses import Losses, Objective
from denet.step import Phase, Step
from tests.conftest import TINY
from tests.denet.networks import config_of
from tests.denet.training import weighted

COMPLETE = RGB_NIR_TIR.complete
MODALITIES = RGB_NIR_TIR.modalities
PAIRS = RGB_NIR_TIR.pairs


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


@pytest.mark.parametrize("form", ["norms", "means"])
@pytest.mark.parametrize("composition", ["dynamic", "fixed"])
def test_so_it_is_in_the_paper_s_form(form: str, composition: Composition) -> None:
    config = msgspec.structs.replace(TINY, composition=composition, edge_norm=False, placed=False)
    model = initial_model(config, seed=0, pretrained=False)
    weights = weighted(rho=1, mu=1, recovery_losses=form)
    step = Step(model, Objective(model, 2, weights)).train()
    images = {m: random_images(4, TINY.image_size) for m in MODALITIES}
    step(images, torch.tensor([0, 0, 1, 1]), "rgb").total.backward()
    assert [name for name, p in step.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("composition", get_args(Composition))
@pytest.mark.parametrize("modalities", [("rgb", "tir"), ("nir",)], ids="+".join)
def test_so_it_is_with_fewer_modalities(
    modalities: tuple[Modality, ...], composition: Composition
) -> None:
    graph = Graph(modalities)
    weights = weighted(rho=1, mu=1, branch=1, plain=1, states=1, adversary="feature")
    images = {m: random_images(4, TINY.image_size) for m in modalities}
    for anchor in modalities:
        config = config_of(graph, TINY, composition=composition)
        model = initial_model(config, seed=0, pretrained=False)
        step = Step(model, Objective(model, 2, weights)).train()
        losses = step(images, torch.tensor([0, 0, 1, 1]), anchor)
        losses.total.backward()
        assert [name for name, p in step.named_parameters() if p.grad is None] == []
        several = len(modalities) > 1 and composition != "concat"
        for term in (losses.recovery, losses.similarity, losses.adversary):
            assert (term.item() > 0) == several


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
