"""The training objective (paper, Eq. 3-4 and 10-14).

L = L_ReID + rho L_rec + mu L_sim, where

- L_ReID is label-smoothed cross-entropy behind the BN neck plus batch-hard triplet loss before
  it, on all parts side by side. The paper's Eq. 12-13 are misprinted; this is the standard
  smoothing, (1 - s) one-hot + s / N.
- L_rec and L_sim have one of three forms (`recovery_losses` of `denet.recipe.TrainConfig`):
  - "norms", as the paper writes them. L_rec (Eq. 3) is the squared norm of the difference of the
    recovered and the real image, L_sim (Eq. 4) the L1 norm of the difference of the recovered and
    the real pooled feature behind two projections, ReLU(BN(W x)), one pair for each target. Means
    over the batch, sums over the directions.
  - "means", the same with the mean over pixels and over components in the place of their sum, as
    libraries compute such losses.
  - "centred", which is not the paper's. L_rec is the mean over pixels; L_sim is one minus the
    cosine of the recovered and the real pooled feature, both seen from the mean of the real ones
    of the batch. Behind a learned projection, what is recovered need not stand where the real
    feature stands, and did not: `denet.recovery` found nothing of it in the feature itself. Only
    what is recovered is drawn to what is real: drawn to each other, the features of a branch
    would give up what other modalities cannot tell. Both are means over the directions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

import torch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner
from torch import Tensor, nn
from torch.nn import functional

from denet.adversarial import Adversary, Discriminators
from denet.branch import BranchOutput
from denet.cmft import CmftOutput, to_grid
from denet.graph import Edge, Modality, State
from denet.model import DENet, DenetOutput

RecoveryLosses = Literal["norms", "means", "centred"]
"""The form of L_rec and L_sim; see above."""


class Weights(NamedTuple):
    """The weights and constants of the objective; see `denet.recipe.TrainConfig`."""

    rho: float
    mu: float
    branch: float
    plain: float
    states: float
    recovery_losses: RecoveryLosses
    adversary: Adversary
    margin: float
    smoothing: float
    dropout: float


class Losses(NamedTuple):
    """The terms of the objective for one batch, each a scalar, before their weights."""

    identity: Tensor
    triplet: Tensor
    branch: Tensor
    plain: Tensor
    states: Tensor
    recovery: Tensor
    similarity: Tensor
    adversary: Tensor
    total: Tensor

    def plus(self, other: Losses) -> Losses:
        """The terms of both."""
        return Losses(*(a + b for a, b in zip(self, other, strict=True)))


class IdentityHead(nn.Module):
    """Cross-entropy behind a BN neck, and triplet loss before it, on vectors of one kind."""

    neck: nn.BatchNorm1d

    def __init__(
        self, neck: nn.BatchNorm1d, identities: int, weights: Weights, *, owned: bool = True
    ) -> None:
        super().__init__()
        if owned:
            self.neck = neck
        else:  # it belongs to the model, and so does its state; here it is only used
            object.__setattr__(self, "neck", neck)
        self.dropout = nn.Dropout(weights.dropout)
        self.classifier = nn.Linear(neck.num_features, identities, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.001)
        self.smoothing = weights.smoothing
        distance = LpDistance(normalize_embeddings=False)
        self.miner = BatchHardMiner(distance=distance)
        self.triplet = TripletMarginLoss(margin=weights.margin, distance=distance)

    def forward(self, vectors: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D) and (B,) -> cross-entropy and triplet loss."""
        logits = self.classifier(self.dropout(self.neck(vectors)))
        identity = functional.cross_entropy(logits, labels, label_smoothing=self.smoothing)
        return identity, self.triplet(vectors, labels, self.miner(vectors, labels))


class Projections(nn.Module):
    """theta and theta' of Eq. 4: each ReLU(BN(W x)), of C components like what it projects."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.real = _projection(channels)
        self.recovered = _projection(channels)

    def forward(self, real: Tensor, recovered: Tensor) -> Tensor:
        """Real and recovered pooled features (B, C) -> their absolute differences (B, C)."""
        return torch.abs(self.real(real) - self.recovered(recovered))


def _projection(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(channels, channels, bias=False), nn.BatchNorm1d(channels), nn.ReLU()
    )


class Objective(nn.Module):
    """The loss of a batch, with the parts of the network that only training needs.

    Args:
        model: its BN neck is trained through this.
        identities: number of training identities.
        weights: of the terms.
    """

    def __init__(self, model: DENet, identities: int, weights: Weights) -> None:
        super().__init__()
        channels = model.channels
        modalities = self.modalities = model.graph.modalities
        self.weights = weights

        def head(features: int) -> IdentityHead:
            return IdentityHead(nn.BatchNorm1d(features), identities, weights)

        # The heads of the branches come first: they are then drawn alike in every composition,
        # and branches that are trained in a phase of their own come out equal, bit for bit.
        self.branches = nn.ModuleDict()
        if weights.branch:
            self.branches.update({m: head(channels) for m in modalities})
        side_by_side = len(modalities) * channels
        self.plain = head(side_by_side) if weights.plain else None
        self.states = head(side_by_side) if weights.states else None
        self.whole = IdentityHead(model.neck, identities, weights, owned=False)
        self.discriminators: Discriminators | None = None
        if model.recovers and weights.adversary != "none":
            self.discriminators = Discriminators(weights.adversary, channels, modalities)
        self.projections: nn.ModuleDict | None = None
        if model.recovers and weights.adversary == "none" and weights.recovery_losses != "centred":
            self.projections = nn.ModuleDict({m: Projections(channels) for m in modalities})

    def of_branches(self) -> tuple[nn.Module, ...]:
        """The parts that only `branch_losses` uses."""
        return (self.branches,) if self.plain is None else (self.branches, self.plain)

    def branch_losses(self, pooled: Mapping[Modality, Tensor], labels: Tensor) -> Losses:
        """The terms that see the branches alone.

        Args:
            pooled: (B, C) of each modality.
            labels: (B,), 0 <= label < identities.
        """
        zero = next(iter(pooled.values())).new_zeros(())
        branch = _mean((_both(self.branches[m], pooled[m], labels) for m in self.branches), zero)
        plain = zero
        if self.plain is not None:
            plain = _both(
                self.plain, torch.cat([pooled[m] for m in self.modalities], dim=1), labels
            )
        total = self.weights.branch * branch + self.weights.plain * plain
        return Losses(*[zero] * len(Losses._fields))._replace(
            branch=branch, plain=plain, total=total
        )

    def graph_losses(
        self,
        output: DenetOutput,
        recovered: Mapping[Edge, CmftOutput],
        states: Mapping[State, Tensor],
        images: Mapping[Modality, Tensor],
        labels: Tensor,
    ) -> Losses:
        """All other terms.

        Args:
            output: of the model for this batch, B samples.
            recovered: all directions.
            states: c(S), (M, B, C), of each state; empty if its loss has no weight.
            images: (B, 3, H, W) of each modality: what L_rec compares with.
            labels: (B,), 0 <= label < identities.
        """
        joined = output.parts.transpose(0, 1).flatten(1)
        identity, triplet = self.whole(joined, labels)
        each = zero = identity.new_zeros(())
        if self.states is not None:
            # One head for all: what is recovered has to stand where the real feature stands. Half
            # of the loss sees the states apart, as they are evaluated, and half of it all in one
            # batch, so that an identity in one state is near to itself in another.
            joint = [parts.transpose(0, 1).flatten(1) for parts in states.values()]
            apart = _mean((_both(self.states, vectors, labels) for vectors in joint), zero)
            mixed = _both(self.states, torch.cat(joint), labels.repeat(len(joint)))
            each = (apart + mixed) / 2
        recovery, similarity = self._regression(output.branches, recovered, images, zero)
        adversary = zero
        if self.discriminators is not None:
            adversary = self.discriminators(output.branches, recovered, images)
        w = self.weights
        total = identity + triplet + w.states * each
        if w.adversary == "none":
            total = total + w.rho * recovery + w.mu * similarity
        else:  # on images the adversary has L_rec's weight, on features that of L_sim
            total = total + (w.rho if w.adversary == "image" else w.mu) * adversary
        return Losses(identity, triplet, zero, zero, each, recovery, similarity, adversary, total)

    def _regression(
        self,
        branches: Mapping[Modality, BranchOutput],
        recovered: Mapping[Edge, CmftOutput],
        images: Mapping[Modality, Tensor],
        like: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """L_rec and L_sim, in their form."""
        grids = [(r.grid, to_grid(images[t])) for (_, t), r in recovered.items()]
        if self.projections is None:
            cosines = (
                _difference(r.pooled, branches[t].pooled.detach())
                for (_, t), r in recovered.items()
            )
            return _mean((functional.mse_loss(*pair) for pair in grids), like), _mean(cosines, like)
        squared = [(made - real) ** 2 for made, real in grids]
        apart = [
            self.projections[t](branches[t].pooled, r.pooled) for (_, t), r in recovered.items()
        ]
        over = _norm if self.weights.recovery_losses == "norms" else torch.mean
        return torch.stack([*map(over, squared)]).sum(), torch.stack([*map(over, apart)]).sum()


def _norm(errors: Tensor) -> Tensor:
    """The sum over each sample's errors (B, ...), as a mean over the batch."""
    return errors.flatten(1).sum(dim=1).mean()


def _difference(recovered: Tensor, real: Tensor) -> Tensor:
    """Mean of one minus the cosine of two sets of features (B, C), of which `real` is given.

    Both are seen from the mean of the real ones over the batch. Without that a constant would do
    well, since features behind a ReLU share a large mean.
    """
    mean = real.mean(dim=0)
    return 1 - functional.cosine_similarity(recovered - mean, real - mean).mean()


def _both(head: nn.Module, vectors: Tensor, labels: Tensor) -> Tensor:
    """The sum of a head's two losses."""
    identity, triplet = head(vectors, labels)
    total: Tensor = identity + triplet
    return total


def _mean(terms: Iterable[Tensor], like: Tensor) -> Tensor:
    """The mean of scalars; zero, of the kind of `like`, if there are none."""
    listed = list(terms)
    return torch.stack(listed).mean() if listed else like.new_zeros(())
