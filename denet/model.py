"""DENet: 15 components and the composition of a missing state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from denet.backbone import build_backbone
from denet.branch import Branch, BranchOutput
from denet.cmft import CMFT, CmftOutput, stages_between
from denet.config import ConfigError, ModelConfig
from denet.dem import DEMEdge
from denet.graph import (
    COMPLETE,
    MODALITIES,
    PAIRS,
    STACKED,
    STATES,
    ZERO,
    Call,
    Edge,
    Modality,
    State,
    branch_engine,
    cmft_engine,
    dem_engine,
    image_value,
    plan,
)


@dataclass(frozen=True)
class DenetOutput:
    """What `DENet.forward` makes of a batch of B samples in one state.

    Attributes:
        parts: (6, B, C): c(S), then c({anchor}); (3, B, C) in the "concat" composition.
        embedding: (B, 6C) or (B, 3C), what retrieval compares: the parts side by side, through
            the BN neck if the model retrieves behind it, L2-normalized.
        branches: feature (B, C, h, w) and pooled feature (B, C) of each available modality.
        recovered: of each direction that ran, the pooled recovered feature and the image.
    """

    parts: Tensor
    embedding: Tensor
    branches: dict[Modality, BranchOutput]
    recovered: dict[Edge, CmftOutput]


class DENet(nn.Module):
    """The network of `config`; its components are `self.engines`, named as in `denet.graph`.

    Args:
        config: every size.
        pretrained: start the branches from ImageNet weights.

    Raises:
        ConfigError: the configuration cannot be built, or the weights cannot be had.
    """

    def __init__(self, config: ModelConfig, *, pretrained: bool = False) -> None:
        super().__init__()
        self.config = config
        self.graph = config.graph
        backbones = {
            m: build_backbone(
                config.backbone, config.last_stride, config.image_size, pretrained=pretrained
            )
            for m in MODALITIES
        }
        first = backbones["rgb"]
        channels = self.channels = first.channels
        stages = stages_between(config.image_size, first.stride)
        height, width = config.image_size
        self.feature_size = height // first.stride, width // first.stride
        cmft_width = config.cmft_width or max(channels // 8, 128)
        if cmft_width % 4:
            raise ConfigError(f"cmft_width must be a multiple of 4, not {cmft_width}")
        dem_width = config.dem_channels or max(channels // 8, 1)

        self.engines = nn.ModuleDict()
        for m in MODALITIES:
            self.engines[branch_engine(m)] = Branch(backbones[m], config.cbam_reduction)
        # What the composition never calls is not built.
        calls = {
            name
            for anchor in MODALITIES
            for name in plan(COMPLETE, anchor, config.composition).engines
        }
        for s, t in PAIRS:
            if cmft_engine(s, t) in calls:
                self.engines[cmft_engine(s, t)] = CMFT(
                    channels, cmft_width, stages, maps=config.composition == "fixed"
                )
        for s, t in PAIRS:
            if dem_engine(s, t) in calls:
                self.engines[dem_engine(s, t)] = DEMEdge(channels, dem_width)
        self.recovers = config.composition != "concat"
        self.dim = len(plan(COMPLETE, None, config.composition).parts) * channels
        self.neck = nn.BatchNorm1d(self.dim)

    def forward(
        self,
        images: Mapping[Modality, Tensor],
        state: State,
        anchor: Modality | None = None,
    ) -> DenetOutput:
        """Run the plan of `state`.

        Args:
            images: (B, 3, H, W) for each available modality; others are not looked at.
            state: what is available.
            anchor: from which missing modalities are recovered; the state's own by default.

        Raises:
            KeyError: an available modality has no image.
        """
        anchor = anchor or state.anchor
        composition = plan(state, anchor, self.config.composition)
        values: dict[str, Tensor] = {image_value(m): images[m] for m in state.available}
        made = self._run(composition.calls, values)
        parts = _stacked(values, composition.parts)
        return DenetOutput(
            parts=parts,
            embedding=self.head(parts),
            branches={m: made[branch_engine(m)] for m in state.available},
            recovered={
                (anchor, t): made[cmft_engine(anchor, t)]
                for t in MODALITIES
                if cmft_engine(anchor, t) in made
            },
        )

    def run_branches(self, images: Mapping[Modality, Tensor]) -> dict[Modality, BranchOutput]:
        """The branches alone, of images (B, 3, H, W) of each modality."""
        return {m: self.engines[branch_engine(m)](images[m]) for m in MODALITIES}

    def recover_all(self, output: DenetOutput) -> dict[Edge, CmftOutput]:
        """Every direction between the available modalities of `output`, as training needs.

        The directions that the composition ran already are not run again.
        """
        return {
            (s, t): output.recovered[s, t]
            if (s, t) in output.recovered
            else self.engines[cmft_engine(s, t)](output.branches[s].feature)
            for s, t in PAIRS
            if s in output.branches and t in output.branches and cmft_engine(s, t) in self.engines
        }

    def observe(self, output: DenetOutput) -> None:
        """Tell each CMFT where the real features of its target stand, in training."""
        for source, target in PAIRS:
            if cmft_engine(source, target) in self.engines:
                cmft = self.engines[cmft_engine(source, target)]
                assert isinstance(cmft, CMFT)
                cmft.down.observe(output.branches[target].pooled)

    def compose_states(
        self, output: DenetOutput, recovered: Mapping[Edge, CmftOutput]
    ) -> dict[State, Tensor]:
        """c(S), (3, B, C), of each of the seven states S, from what a complete batch has made.

        The costly part, branches and CMFTs, is done already, so training can see every state in
        every batch.

        Args:
            output: of a complete batch.
            recovered: all six directions, as `recover_all` gives them.
        """
        known: dict[str, Any] = {branch_engine(m): made for m, made in output.branches.items()}
        known |= {cmft_engine(s, t): made for (s, t), made in recovered.items()}
        composed: dict[State, Tensor] = {}
        for anchor in MODALITIES:
            values: dict[str, Tensor] = {}  # what is recovered is called alike, whatever the anchor
            for state in (s for s in STATES if s.anchor == anchor):
                composition = plan(state, anchor, self.config.composition)
                self._run(composition.calls, values, known)
                composed[state] = _stacked(values, composition.parts[: len(MODALITIES)])
        return composed

    def _run(
        self, calls: Sequence[Call], values: dict[str, Tensor], known: Mapping[str, Any] = {}
    ) -> dict[str, Any]:
        """Run `calls` on `values`, to which their outputs are added; what each engine made.

        An engine in `known` is not run: that is what it makes. Nor is a call whose outputs are
        among the values already.
        """
        made: dict[str, Any] = {}
        for call in calls:
            if all(name in values for names in call.outputs.values() for name in names):
                continue
            output = known.get(call.engine)
            if output is None:
                inputs = {
                    name: torch.stack([values[n] for n in names])
                    if name in STACKED
                    else values[names[0]]
                    for name, names in call.inputs.items()
                }
                output = self.engines[call.engine](**inputs)
            made[call.engine] = output
            for name, names in call.outputs.items():
                tensor = getattr(output, name)
                values.update(zip(names, tensor if name in STACKED else [tensor], strict=True))
        return made

    def head(self, parts: Tensor) -> Tensor:
        """Parts (6, B, C) -> embedding (B, 6C), L2-normalized; three parts give half of that."""
        joined = parts.transpose(0, 1).flatten(1)
        if self.config.neck == "after":
            joined = self.neck(joined)
        return functional.normalize(joined * self.part_scale())

    def part_scale(self) -> Tensor:
        """The weight of each number of an embedding before it is normalized, (6C,) or (3C,)."""
        scale = torch.ones(self.dim, device=self.neck.weight.device, dtype=self.neck.weight.dtype)
        scale[len(MODALITIES) * self.channels :] = self.config.anchor_weight
        return scale


def _stacked(values: Mapping[str, Tensor], names: Sequence[str]) -> Tensor:
    """The values (B, C) of these names as one tensor; at least one is not `ZERO`."""
    some = next(values[name] for name in names if name != ZERO)
    return torch.stack([torch.zeros_like(some) if n == ZERO else values[n] for n in names])
