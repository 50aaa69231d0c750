"""What holds for every rival: shapes, missing modalities, a loss that training makes smaller."""

from __future__ import annotations

import pytest
import torch

from denet.config import ConfigError
from denet.graph import RGB_NIR_TIR
from denet.rivals.catalog import METHODS, RivalError, method
from denet.rivals.rival import OneSpace, Rival, SideBySide, SingleModality
from denet.rivals.training import build_rival
from tests.denet.rivals.settings import SETTING, batch, with_backbone

GRAPH = RGB_NIR_TIR


@pytest.fixture(scope="module", params=METHODS)
def rival(request: pytest.FixtureRequest) -> Rival:
    return build_rival(request.param, SETTING).eval()


@torch.no_grad()
def test_an_embedding_is_made_of_the_available_modalities_in_every_state(rival: Rival) -> None:
    images, labels = batch()
    made = {}
    for state in GRAPH.states:
        only = {m: images[m] for m in state.available}
        found = made[state] = rival(only, state).embedding
        assert found.shape == (len(labels), rival.dim)
        torch.testing.assert_close(found.norm(dim=1), torch.ones(len(labels)))
        # What is not available is not looked at.
        noise = {m: images[m] if m in state.available else torch.randn(1) for m in images}
        assert torch.equal(rival(noise, state).embedding, found)
    pairs = [(a, b) for a in GRAPH.states for b in GRAPH.states if a != b]
    assert all(not torch.allclose(made[a], made[b], atol=1e-3) for a, b in pairs)


@torch.no_grad()
def test_an_embedding_does_not_depend_on_the_batch(rival: Rival) -> None:
    images, _ = batch()
    state = GRAPH.parse("rgb+tir")
    whole = rival(images, state).embedding
    one = rival({m: image[2:3] for m, image in images.items()}, state).embedding
    torch.testing.assert_close(one, whole[2:3], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", METHODS)
def test_training_makes_the_loss_smaller_and_trains_everything(name: str) -> None:
    rival = build_rival(name, SETTING).train()
    images, labels = batch()
    torch.manual_seed(0)
    optimizer = torch.optim.AdamW(rival.parameters(), 1e-3)
    losses, learned = [], set()
    for step in range(9):
        if not step % 3:
            rival.begin_epoch()
        loss = rival.loss(images, labels)
        optimizer.zero_grad()
        loss.backward()
        learned |= {n for n, p in rival.named_parameters() if p.grad is not None}
        optimizer.step()
        losses.append(float(loss.detach()))
    assert min(losses[-3:]) < losses[0], losses
    asleep = {n for n, p in rival.named_parameters() if p.requires_grad} - learned
    assert not asleep


@torch.no_grad()
def test_methods_for_one_modality_stand_side_by_side_with_zeros_for_what_is_missing(
    rival: Rival,
) -> None:
    if not isinstance(rival, SideBySide):
        pytest.skip("is no method for one modality")
    images, labels = batch()
    each = []
    for m in GRAPH.modalities:
        branch = rival.branches[m]
        assert isinstance(branch, SingleModality)
        each.append(branch.feature(images[m]))
    state = GRAPH.parse("rgb+tir")
    expected = torch.cat([each[0], torch.zeros_like(each[1]), each[2]], dim=1)
    torch.testing.assert_close(rival.features(images, state), expected)
    # So in one state the cosine is that of the available features side by side.
    there = torch.nn.functional.normalize(torch.cat([each[0], each[2]], dim=1))
    found = rival(images, state).embedding
    torch.testing.assert_close(found @ found.T, there @ there.T, atol=1e-5, rtol=1e-4)
    losses = [rival.train().branches[m].loss(images[m], labels) for m in GRAPH.modalities]
    rival.eval()
    assert all(torch.isfinite(loss) for loss in losses)


@torch.no_grad()
def test_methods_with_one_space_take_the_mean_of_what_is_there(rival: Rival) -> None:
    if not isinstance(rival, OneSpace):
        pytest.skip("has no space in common")
    images, _ = batch()
    one = {m: rival(images, GRAPH.state([m])).embedding for m in GRAPH.modalities}
    mean = (one["rgb"] + one["tir"]) / 2
    expected = mean / mean.norm(dim=1, keepdim=True)
    found = rival(images, GRAPH.parse("rgb+tir")).embedding
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_equal_seeds_build_equal_rivals() -> None:
    one, other = build_rival("circle", SETTING), build_rival("circle", SETTING)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("name", ["ddag", "mpanet"])
def test_what_changes_a_resnet_needs_one(name: str) -> None:
    with pytest.raises(ConfigError, match=r"needs a ResNet.*timm:test_resnet"):
        build_rival(name, with_backbone("timm:test_resnet"))


def test_an_unknown_method_is_refused_with_all_names() -> None:
    with pytest.raises(RivalError, match=r"'resnet': choose from all, mlfn, hacnn, .*hamnet"):
        method("resnet")


@pytest.mark.parametrize("name", ["mlfn", "cal"])
def test_a_deep_backbone_has_the_deep_form(name: str) -> None:
    with torch.device("meta"):
        shallow = sum(p.numel() for p in method(name).build(SETTING).parameters())
        deep = sum(p.numel() for p in method(name).build(with_backbone("resnet50")).parameters())
    assert deep > 2 * shallow
