"""One training step: the losses of a batch, and which part of the network they train.

Trained jointly, as in the paper, everything learns at once. With a phase of its own for the graph
(`graph_epochs` of a recipe) the branches learn first, alone, and CMFTs and edges then learn on
branches that stand still: what is to be recovered does not move any more, and what the untrained
graph would teach the branches is mostly noise. Each phase costs less than a joint step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from denet.branch import Branch
from denet.graph import Modality, State
from denet.losses import Losses, Objective
from denet.model import DENet

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
        self, images: Mapping[Modality, Tensor], labels: Tensor, anchor: Modality
    ) -> Losses:
        """The losses of a complete batch whose missing modalities `anchor` would recover."""
        if self.phase == "branches":
            made = self.model.run_branches(images)
            with torch.autocast(labels.device.type, enabled=False):
                return self.objective.branch_losses(
                    {m: b.pooled.float() for m, b in made.items()}, labels
                )
        output = self.model(images, self.model.graph.complete, anchor)
        recovered = self.model.recover_all(output)
        self.model.observe(output)
        states: dict[State, Tensor] = {}
        if self.objective.states is not None:
            states = self.model.compose_states(output, recovered)
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
            )
            if self.phase == "joint":
                pooled = {m: b.pooled for m, b in branches.items()}
                losses = losses.plus(self.objective.branch_losses(pooled, labels))
        return losses

    def _branches(self) -> list[Branch]:
        return [engine for engine in self.model.engines.values() if isinstance(engine, Branch)]
