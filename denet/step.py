"""One training step: the losses of a batch, and which part of the network they train.

Trained jointly, as in the paper, everything learns at once. With a phase of its own for the graph
(`graph_epochs` of a recipe) the branches learn first, alone, and CMFTs and edges then learn on
branches that stand still: what is to be recovered does not move any more, and what the untrained
graph would teach the branches is mostly noise. Each phase costs less than a joint step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from denet import gaps
from denet.branch import Branch
from denet.graph import Modality, State
from denet.losses import Losses, Objective
from denet.model import DENet
from denet.presence import Presence

Phase = Literal["joint", "branches", "graph"]


class Step(nn.Module):
    """Network and objective as one module, so that one wrapper serves both.

    Attributes:
        phase: what learns; `enter` changes it.
    """

    phase: Phase = "joint"

    def __init__(self, model: DENet, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    def enter(self, phase: Phase) -> Step:
        """From now on only the parameters of `phase` have gradients."""
        self.phase = phase
        of_branches = {
            parameter
            for module in (*self._branches(), *self.objective.of_branches())
            for parameter in module.parameters()
        }
        for parameter in self.parameters():
            learns = phase == "joint" or (parameter in of_branches) == (phase == "branches")
            parameter.requires_grad_(learns)
        return self

    def train(self, mode: bool = True) -> Step:
        """As of any module; branches that stand still keep their statistics, too."""
        super().train(mode)
        if self.phase == "graph":
            for branch in self._branches():
                branch.eval()
        return self

    def forward(
        self,
        images: Mapping[Modality, Tensor],
        labels: Tensor,
        anchor: Modality,
        rows: Mapping[Modality, Sequence[int]] | None = None,
    ) -> Losses:
        """The losses of a batch whose missing modalities `anchor` would recover.

        Args:
            images: (n, 3, H, W) of each modality, of the samples that have it.
            labels: (B,), the class of each sample.
            anchor: of the samples that have it; of the others it is the first that they have.
            rows: which of the B samples have each modality; None if all have everything.
        """
        graph = self.model.graph
        presence = Presence.whole(graph, len(labels))
        if rows is not None:
            presence = Presence(graph, rows, len(labels))
        losses = self._losses(images, labels, anchor, presence)
        if not presence.complete:
            # What nothing of this batch reached gets a gradient of zero: several processes, whose
            # batches lack different things, exchange the gradients of all.
            reached = sum(p.sum() for p in self.parameters() if p.requires_grad)
            losses = losses._replace(total=losses.total + 0 * reached)
        return losses

    def _losses(
        self,
        images: Mapping[Modality, Tensor],
        labels: Tensor,
        anchor: Modality,
        presence: Presence,
    ) -> Losses:
        model, whole = self.model, presence.complete
        if self.phase == "branches":
            made = model.run_branches(images) if whole else gaps.run_branches(model, images)
            with torch.autocast(labels.device.type, enabled=False):
                return self.objective.branch_losses(
                    {m: b.pooled.float() for m, b in made.items()}, labels, presence
                )
        states: dict[State, Tensor] = {}
        if whole:
            output = model(images, model.graph.complete, anchor)
            recovered = model.recover_all(output)
            model.observe(output)
            if self.objective.states is not None:
                states = model.compose_states(output, recovered)
        else:
            made = gaps.run_branches(model, images)
            recovered = gaps.recover_all(model, made)
            output = gaps.compose(model, made, recovered, presence, anchor)
            gaps.observe(model, made)
            if self.objective.states is not None:
                states = gaps.compose_states(model, made, recovered, presence)
        # Under mixed precision, too, the objective is computed in float32: on a CPU, autocast
        # would leave L_sim with the two or three digits of bfloat16.
        with torch.autocast(labels.device.type, enabled=False):
            branches = {
                m: b._replace(feature=b.feature.float(), pooled=b.pooled.float())
                for m, b in output.branches.items()
            }
            losses = self.objective.graph_losses(
                replace(
                    output,
                    parts=output.parts.float(),
                    embedding=output.embedding.float(),
                    branches=branches,
                ),
                {
                    edge: r._replace(pooled=r.pooled.float(), grid=r.grid.float())
                    for edge, r in recovered.items()
                },
                {state: parts.float() for state, parts in states.items()},
                {m: image.float() for m, image in images.items()},
                labels,
                presence,
            )
            if self.phase == "joint":
                pooled = {m: b.pooled for m, b in branches.items()}
                losses = losses.plus(self.objective.branch_losses(pooled, labels, presence))
        return losses

    def _branches(self) -> list[Branch]:
        return [engine for engine in self.model.engines.values() if isinstance(engine, Branch)]
