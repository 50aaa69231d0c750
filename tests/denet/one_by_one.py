"""Every term of the objective on samples that lack modalities, from one sample at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from denet.cmft import to_grid
from denet.graph import Modality, State
from denet.model import DENet
from denet.step import Step


@dataclass(frozen=True)
class Batch:
    """Images of each sample by modality, and its class."""

    samples: tuple[dict[Modality, Tensor], ...]
    labels: Tensor

    @property
    def rows(self) -> dict[Modality, list[int]]:
        found: dict[Modality, list[int]] = {}
        for row, images in enumerate(self.samples):
            for modality in images:
                found.setdefault(modality, []).append(row)
        return found

    @property
    def images(self) -> dict[Modality, Tensor]:
        return {m: torch.stack([self.samples[i][m] for i in rows]) for m, rows in self.rows.items()}


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    target = torch.full_like(logits, 0.1 / logits.shape[1])
    target[range(len(labels)), labels] += 0.9
    return -(target * logits.log_softmax(1)).sum(1).mean()


def batch_hard(vectors: Tensor, labels: Tensor, available: Sequence[set[Modality]]) -> Tensor:
    """Over the triplets that violate the margin, among samples that share a modality."""
    terms = []
    for i in range(len(labels)):
        others = [j for j in range(len(labels)) if j != i and available[i] & available[j]]
        distance = {j: (vectors[i] - vectors[j]).norm() for j in others}
        positive = [distance[j] for j in others if labels[j] == labels[i]]
        negative = [distance[j] for j in others if labels[j] != labels[i]]
        if positive and negative:
            terms.append(torch.relu(max(positive) - min(negative) + 0.3))
    active = [term for term in terms if term > 0]
    return torch.stack(active).mean() if active else torch.zeros((), dtype=torch.float64)


def head_loss(head: Any, vectors: Tensor, labels: Tensor) -> Tensor:
    anything = [{"all"}] * len(labels)
    logits = head.classifier(head.neck(vectors))
    return cross_entropy(logits, labels) + batch_hard(vectors, labels, anything)


def mean(terms: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(terms)).mean() if terms else torch.zeros((), dtype=torch.float64)


class Naive:
    """Every term from one sample at a time, in evaluation mode."""

    def __init__(self, step: Step, batch: Batch, anchor: Modality) -> None:
        self.model: DENet = step.model
        self.objective = step.objective
        self.batch, self.anchor = batch, anchor
        self.graph = self.model.graph

    def alone(self, i: int, state: State, anchor: Modality | None = None) -> Tensor:
        """The parts of sample `i` in a state, (P, C)."""
        images = {m: self.batch.samples[i][m][None] for m in state.available}
        return self.model(images, state, anchor).parts[:, 0]

    def own(self, i: int) -> State:
        return self.graph.state(self.batch.samples[i])

    def having(self, modalities: Sequence[Modality]) -> list[int]:
        samples = enumerate(self.batch.samples)
        return [i for i, images in samples if all(m in images for m in modalities)]

    def branch(self, i: int, modality: Modality) -> Any:
        return self.model.engines[f"branch_{modality}"](self.batch.samples[i][modality][None])

    def pooled(self, rows: Sequence[int], modality: Modality) -> Tensor:
        return torch.cat([self.branch(i, modality).pooled for i in rows])

    def reid(self) -> tuple[Tensor, Tensor]:
        vectors = []
        for i in range(len(self.batch.samples)):
            anchor = self.anchor if self.anchor in self.batch.samples[i] else None
            vectors.append(self.alone(i, self.own(i), anchor).flatten())
        joined, labels = torch.stack(vectors), self.batch.labels
        logits = self.objective.whole.classifier(self.model.neck(joined))
        available = [set(images) for images in self.batch.samples]
        return cross_entropy(logits, labels), batch_hard(joined, labels, available)

    def branches(self) -> Tensor:
        return mean(
            [
                head_loss(head, self.pooled(rows, m), self.batch.labels[rows])
                for m, head in self.objective.branches.items()
                if (rows := self.having([m]))
            ]
        )

    def plain(self) -> Tensor:
        rows = self.having(self.graph.modalities)
        if not rows:
            return torch.zeros((), dtype=torch.float64)
        beside = torch.cat([self.pooled(rows, m) for m in self.graph.modalities], dim=1)
        return head_loss(self.objective.plain, beside, self.batch.labels[rows])

    def states(self) -> Tensor:
        each, vectors, labels = [], [], []
        count = len(self.graph.modalities)
        for state in self.graph.states:
            if rows := self.having(state.available):
                made = torch.stack([self.alone(i, state)[:count].flatten() for i in rows])
                each.append(head_loss(self.objective.states, made, self.batch.labels[rows]))
                vectors.append(made)
                labels.append(self.batch.labels[rows])
        mixed = head_loss(self.objective.states, torch.cat(vectors), torch.cat(labels))
        return (mean(each) + mixed) / 2

    def directions(self) -> list[tuple[Modality, list[Any], list[Any], list[Tensor], list[Tensor]]]:
        """Target, what is recovered, what is given, real features and images, pair by pair."""
        found = []
        for s, t in self.graph.pairs:
            name = f"cmft_{s}2{t}"
            if name in self.model.engines and (rows := self.having([s, t])):
                given = [self.branch(i, s) for i in rows]
                made = [self.model.engines[name](one.feature) for one in given]
                real = [self.branch(i, t).pooled for i in rows]
                images = [self.batch.samples[i][t][None] for i in rows]
                sources = [self.batch.samples[i][s][None] for i in rows]
                found.append((t, made, list(zip(given, sources, strict=True)), real, images))
        return found

    def regression(self) -> tuple[Tensor, Tensor]:
        form = self.objective.weights.recovery_losses
        recovery, similarity = [], []
        for target, made, _, real, images in self.directions():
            errors = [(one.grid - to_grid(x)) ** 2 for one, x in zip(made, images, strict=True)]
            if form == "centred":
                recovery.append(mean([error.mean() for error in errors]))
                if len(real) > 1:
                    middle = torch.cat(real).mean(0)
                    cosines = [
                        functional.cosine_similarity(one.pooled - middle, true - middle)[0]
                        for one, true in zip(made, real, strict=True)
                    ]
                    similarity.append(1 - mean(cosines))
                continue
            theta = self.objective.projections[target]
            apart = [theta(true, one.pooled) for one, true in zip(made, real, strict=True)]
            over = torch.sum if form == "norms" else torch.mean
            recovery.append(mean([over(error) for error in errors]))
            similarity.append(mean([over(each) for each in apart]))
        if form == "centred":
            return mean(recovery), mean(similarity)
        return torch.stack(recovery).sum(), torch.stack(similarity).sum()

    def adversary(self) -> Tensor:
        judges = self.objective.discriminators
        terms = []
        for target, made, given, real, images in self.directions():
            on_images = judges.kind == "image"
            sources = [to_grid(x) if on_images else b.pooled for b, x in given]
            true = [to_grid(x) for x in images] if on_images else real
            fake = [one.grid if on_images else one.pooled for one in made]
            for kind, truth in ((true, 1.0), (fake, 0.0)):
                said = torch.cat(
                    [
                        judges.judges[target](torch.cat(both, dim=1))
                        for both in zip(sources, kind, strict=True)
                    ]
                )
                chance = said.sigmoid() if truth else 1 - said.sigmoid()
                terms.append(-chance.log().mean())
        return mean(terms)
