"""The objective against its equations, term by term."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from denet.graph import RGB_NIR_TIR, Modality
from denet.initialize import initial_model, random_images
from denet.losses import Losses, Objective
from denet.model import DENet
from denet.step import Step
from tests.conftest import TINY
from tests.denet.training import weighted

COMPLETE = RGB_NIR_TIR.complete
MODALITIES = RGB_NIR_TIR.modalities
PAIRS = RGB_NIR_TIR.pairs
STATES = RGB_NIR_TIR.states


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
