"""Recovery by an adversary: what the reversed gradient does, against the loss written out."""

from __future__ import annotations

from typing import Literal

import msgspec
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from denet.adversarial import Discriminators, _Reversed
from denet.branch import BranchOutput
from denet.cmft import CmftOutput
from denet.config import ModelConfig
from denet.directions import paired
from denet.graph import RGB_NIR_TIR, Edge, Modality
from denet.initialize import initial_model, random_images
from denet.losses import Objective, Weights
from denet.presence import Presence
from denet.step import Step

COMPLETE = RGB_NIR_TIR.complete
MODALITIES = RGB_NIR_TIR.modalities
PAIRS = RGB_NIR_TIR.pairs

TINY = ModelConfig(backbone="resnet10", image_size=(32, 16), cmft_width=4, dem_channels=4)

Kind = Literal["image", "feature"]
both_kinds = pytest.mark.parametrize("kind", ["image", "feature"])


def test_a_reversed_gradient_is_the_negative_of_the_plain_one() -> None:
    torch.manual_seed(0)
    value = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, dtype=torch.float64, requires_grad=True)

    def loss(x: Tensor) -> Tensor:
        return (x @ weight).sin().sum()

    assert torch.equal(_Reversed.apply(value), value)
    plain = torch.autograd.grad(loss(value), (value, weight))
    turned = torch.autograd.grad(loss(_Reversed.apply(value)), (value, weight))
    assert torch.equal(turned[0], -plain[0])
    assert torch.equal(turned[1], plain[1])  # what stands behind the reversal learns as ever
    assert plain[0].abs().min() > 0


def naive_loss(
    judges: Discriminators,
    kind: Kind,
    branches: dict[Modality, BranchOutput],
    recovered: dict[Edge, CmftOutput],
    images: dict[Modality, Tensor],
) -> Tensor:
    """Of a batch, the mean of -log of the probability that a judge gives to the truth."""
    terms = []
    for source, target in PAIRS:
        if kind == "image":
            given, real = (functional.pixel_unshuffle(images[m], 4) for m in (source, target))
            fake = recovered[source, target].grid
        else:
            given, real = (branches[m].pooled for m in (source, target))
            fake = recovered[source, target].pooled
        judge = judges.judges[target]
        terms.append(-torch.sigmoid(judge(torch.cat([given, real], 1))).log().mean())
        terms.append(-(1 - torch.sigmoid(judge(torch.cat([given, fake], 1)))).log().mean())
    return sum(terms, torch.zeros(())) / len(terms)


def a_step(kind: Kind, weight: float) -> Step:
    model = initial_model(TINY, seed=0, pretrained=False)
    torch.manual_seed(0)
    weights = Weights(
        rho=weight if kind == "image" else 0.0,
        mu=weight if kind == "feature" else 0.0,
        branch=0.0,
        plain=0.0,
        states=0.0,
        recovery_losses="centred",
        adversary=kind,
        margin=0.3,
        smoothing=0.1,
        dropout=0.0,
    )
    # In evaluation mode, so that a step changes what it trains and no statistics.
    return Step(model, Objective(model, 2, weights)).enter("graph").eval()


def a_batch() -> tuple[dict[Modality, Tensor], Tensor]:
    torch.manual_seed(1)
    images = {m: random_images(4, TINY.image_size) for m in MODALITIES}
    return images, torch.tensor([0, 0, 1, 1])


@both_kinds
def test_the_loss_and_its_gradients_are_those_of_the_equation(kind: Kind) -> None:
    step = a_step(kind, weight=1.0).double()
    images = {m: image.double() for m, image in a_batch()[0].items()}
    judges = step.objective.discriminators
    assert judges is not None
    with torch.no_grad():
        branches = step.model(images, COMPLETE).branches
    engines = [e for name, e in step.model.engines.items() if name.startswith("cmft")]
    behind, before = list(judges.parameters()), [p for e in engines for p in e.parameters()]

    def recovered() -> dict[Edge, CmftOutput]:
        return {(s, t): step.model.engines[f"cmft_{s}2{t}"](branches[s].feature) for s, t in PAIRS}

    everyone = Presence.whole(RGB_NIR_TIR, len(images["rgb"]))
    found = judges(paired(branches, recovered(), images, everyone), torch.zeros(()))
    expected = naive_loss(judges, kind, branches, recovered(), images)
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)
    for parameters, sign in ((behind, 1), (before, -1)):
        mine = torch.autograd.grad(found, parameters, retain_graph=True, allow_unused=True)
        naive = torch.autograd.grad(expected, parameters, retain_graph=True, allow_unused=True)
        assert any(g is not None for g in naive)
        for a, b in zip(mine, naive, strict=True):
            assert (a is None) == (b is None)
            if a is not None and b is not None:
                torch.testing.assert_close(a, sign * b)


@both_kinds
def test_one_step_makes_better_judges_and_better_forgeries(kind: Kind) -> None:
    # So heavy that the joint loss, which trains the CMFTs as well, decides nothing.
    step = a_step(kind, weight=1e6)
    images, labels = a_batch()
    judges = step.objective.discriminators
    assert judges is not None

    @torch.no_grad()
    def made() -> tuple[dict[Modality, BranchOutput], dict[Edge, CmftOutput]]:
        output = step.model(images, COMPLETE)
        return output.branches, step.model.recover_all(output)

    branches, old = made()
    kept = {name: value.clone() for name, value in judges.state_dict().items()}
    with torch.no_grad():
        before = naive_loss(judges, kind, branches, old, images)
    losses = step.forward(images, labels, "rgb")
    optimizer = torch.optim.SGD(step.parameters(), lr=1e-8)
    losses.total.backward()
    optimizer.step()
    _, new = made()
    with torch.no_grad():
        judged_better = naive_loss(judges, kind, branches, old, images)
        judges.load_state_dict(kept)
        forged_better = naive_loss(judges, kind, branches, new, images)
    assert judged_better < before < forged_better


def test_a_network_that_recovers_nothing_has_no_adversary() -> None:
    model = initial_model(
        msgspec.structs.replace(TINY, composition="concat"), seed=0, pretrained=False
    )
    weights = a_step("image", 1.0).objective.weights
    assert Objective(model, 2, weights).discriminators is None
