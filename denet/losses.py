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

Where samples of a batch lack modalities, each term takes those that have what it needs, and a mean
over modalities, directions or states is over those of which there are such samples:

- L_ReID: all samples, each in the state that it is in. Triplets are mined among samples that share
  a modality.
- the loss on each branch: those that have its modality; on the branches side by side: the complete.
- the loss on a state: those that can be in it. Its half that mixes states mines among all of them.
- L_rec and L_sim of a direction, or the adversary in their place: those that have source and
  target. "centred" needs two of them, since one is its own mean.
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
from denet.cmft import CmftOutput
from denet.directions import Direction, paired
from denet.graph import Edge, Modality, State
from denet.model import DENet, DenetOutput
from denet.presence import Presence, take
from denet.settled import LEAST_VALUES, settled

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

    def forward(
        self, vectors: Tensor, labels: Tensor, alike: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(B, D) and (B,) -> cross-entropy and triplet loss.

        `alike`: (B, B), which may be compared; None if all may.
        """
        with settled(self.neck, len(vectors)):
            logits = self.classifier(self.dropout(self.neck(vectors)))
        identity = functional.cross_entropy(logits, labels, label_smoothing=self.smoothing)
        if alike is None:
            return identity, self.triplet(vectors, labels, self.miner(vectors, labels))
        return identity, self.triplet(vectors, labels, self._mined(vectors, labels, alike))

    def _mined(self, vectors: Tensor, labels: Tensor, alike: Tensor) -> tuple[Tensor, ...]:
        """As the miner: of each sample the farthest of its identity and the nearest of another."""
        with torch.no_grad():
            distances = self.miner.distance(vectors)
            same = labels[:, None] == labels[None]
            positive = same & alike & ~torch.eye(len(labels), dtype=torch.bool, device=same.device)
            negative = ~same & alike
            farthest = distances.masked_fill(~positive, -torch.inf).argmax(dim=1)
            nearest = distances.masked_fill(~negative, torch.inf).argmin(dim=1)
            (rows,) = torch.where(positive.any(dim=1) & negative.any(dim=1))
        return rows, farthest[rows], nearest[rows]


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
        self.graph = model.graph
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

    def branch_losses(
        self,
        pooled: Mapping[Modality, Tensor],
        labels: Tensor,
        presence: Presence | None = None,
    ) -> Losses:
        """The terms that see the branches alone.

        Args:
            pooled: (n, C) of each modality, of the samples that have it; none where nobody has.
            labels: (B,), 0 <= label < identities.
            presence: which samples have what; None if all have everything.
        """
        presence = presence or Presence.whole(self.graph, len(labels))
        everyone = tuple(range(len(labels)))
        zero = next(iter(pooled.values())).new_zeros(())
        branch = _mean(
            (
                _both(self.branches[m], pooled[m], take(labels, everyone, presence.having([m])))
                for m in self.branches
                if m in pooled
            ),
            zero,
        )
        plain = zero
        if self.plain is not None and (whole := presence.having(self.modalities)):
            beside = [take(pooled[m], presence.having([m]), whole) for m in self.modalities]
            plain = _both(self.plain, torch.cat(beside, dim=1), take(labels, everyone, whole))
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
        presence: Presence | None = None,
    ) -> Losses:
        """All other terms.

        Args:
            output: of the model for this batch, B samples.
            recovered: all directions, of the n samples that have the source.
            states: c(S), (M, n, C), of each state, of those that can be in it; empty if its loss
                has no weight.
            images: (n, 3, H, W) of each modality: what L_rec compares with.
            labels: (B,), 0 <= label < identities.
            presence: which samples have what; None if all have everything.
        """
        presence = presence or Presence.whole(self.graph, len(labels))
        everyone = tuple(range(len(labels)))
        joined = output.parts.transpose(0, 1).flatten(1)
        identity, triplet = self.whole(joined, labels, presence.alike(labels.device))
        each = zero = identity.new_zeros(())
        if self.states is not None:
            # One head for all: what is recovered has to stand where the real feature stands. Half
            # of the loss sees the states apart, as they are evaluated, and half of it all in one
            # batch, so that an identity in one state is near to itself in another.
            joint = [parts.transpose(0, 1).flatten(1) for parts in states.values()]
            of = [take(labels, everyone, presence.having(s.available)) for s in states]
            apart = _mean((_both(self.states, *pair) for pair in zip(joint, of, strict=True)), zero)
            mixed = _both(self.states, torch.cat(joint), torch.cat(of))
            each = (apart + mixed) / 2
        pairs = paired(output.branches, recovered, images, presence)
        recovery, similarity = self._regression(pairs, zero)
        adversary = zero
        if self.discriminators is not None:
            adversary = self.discriminators(pairs, zero)
        w = self.weights
        total = identity + triplet + w.states * each
        if w.adversary == "none":
            total = total + w.rho * recovery + w.mu * similarity
        else:  # on images the adversary has L_rec's weight, on features that of L_sim
            total = total + (w.rho if w.adversary == "image" else w.mu) * adversary
        return Losses(identity, triplet, zero, zero, each, recovery, similarity, adversary, total)

    def _regression(self, pairs: Mapping[Edge, Direction], like: Tensor) -> tuple[Tensor, Tensor]:
        """L_rec and L_sim, in their form."""
        grids = [(pair.made_grid, pair.real_grid) for pair in pairs.values()]
        if self.projections is None:
            cosines = (
                _difference(pair.made, pair.real.detach())
                for pair in pairs.values()
                if len(pair.made) >= LEAST_VALUES
            )
            return _mean((functional.mse_loss(*pair) for pair in grids), like), _mean(cosines, like)
        squared = [(made - real) ** 2 for made, real in grids]
        apart = []
        for (_, target), pair in pairs.items():
            projections = self.projections[target]
            with settled(projections, len(pair.made)):
                apart.append(projections(pair.real, pair.made))
        over = _norm if self.weights.recovery_losses == "norms" else torch.mean
        return _sum(map(over, squared), like), _sum(map(over, apart), like)


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


def _sum(terms: Iterable[Tensor], like: Tensor) -> Tensor:
    """The sum of scalars; zero, of the kind of `like`, if there are none."""
    listed = list(terms)
    return torch.stack(listed).sum() if listed else like.new_zeros(())


def _mean(terms: Iterable[Tensor], like: Tensor) -> Tensor:
    """The mean of scalars; zero, of the kind of `like`, if there are none."""
    listed = list(terms)
    return torch.stack(listed).mean() if listed else like.new_zeros(())
