"""DENet: the components of a graph, and the composition of a missing state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional

from denet.backbone import build_backbone
from denet.branch import Branch, BranchOutput
from denet.cmft import CMFT, CmftOutput, stages_between
from denet.config import ConfigError, ModelConfig, Neck
from denet.dem import DEMEdge, TransposedEdge
from denet.graph import (
    ZERO,
    Call,
    Edge,
    Modality,
    State,
    branch_engine,
    cmft_engine,
    dem_engine,
    execute,
    image_value,
    stacked,
    unstacked,
)


@dataclass(frozen=True)
class DenetOutput:
    """What `DENet.forward` makes of a batch of B samples in one state.

    Attributes:
        parts: (2M, B, C) of M modalities: c(S), then c({anchor}); (M, B, C) in the "concat"
            composition, or of one modality.
        embedding: (B, 2MC) or (B, MC), what retrieval compares: the parts side by side, through
            the BN neck or from its mean if the model retrieves so, L2-normalized.
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

    Attributes:
        graph: of its modalities, which decides what it is made of.
        recovers: whether it has CMFTs. A baseline of branches alone has none, nor has a network
            of one modality.
        dim: the length of an embedding.

    Raises:
        ConfigError: the configuration cannot be built, or the weights cannot be had.
    """

    def __init__(self, config: ModelConfig, *, pretrained: bool = False) -> None:
        super().__init__()
        self.config = config
        self.graph = graph = config.graph
        backbones = {
            m: build_backbone(
                config.backbone, config.last_stride, config.image_size, pretrained=pretrained
            )
            for m in graph.modalities
        }
        first = next(iter(backbones.values()))
        channels = self.channels = first.channels
        stages = stages_between(config.image_size, first.stride)
        height, width = config.image_size
        self.feature_size = height // first.stride, width // first.stride
        cmft_width = config.cmft_width or max(channels // 8, 128)
        if cmft_width % 4:
            raise ConfigError(f"cmft_width must be a multiple of 4, not {cmft_width}")
        dem_width = config.dem_channels or max(channels // 8, 1)

        self.engines = nn.ModuleDict()
        for m, backbone in backbones.items():
            self.engines[branch_engine(m)] = Branch(backbone, config.cbam_reduction)
        # What the composition never calls is not built.
        calls = {
            call.engine: call
            for anchor in graph.modalities
            for call in graph.plan(graph.complete, anchor, config.composition).calls
        }
        for s, t in graph.pairs:
            if (name := cmft_engine(s, t)) in calls:
                maps = "feature" in calls[name].outputs
                self.engines[name] = CMFT(
                    channels, cmft_width, stages, maps=maps, placed=config.placed
                )
        edge = TransposedEdge if config.composition == "transposed" else DEMEdge
        for s, t in graph.pairs:
            if dem_engine(s, t) in calls:
                self.engines[dem_engine(s, t)] = edge(channels, dem_width, norm=config.edge_norm)
        self.recovers = any(cmft_engine(s, t) in self.engines for s, t in graph.pairs)
        whole = graph.plan(graph.complete, None, config.composition)
        self.dim = len(whole.parts) * channels
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
        composition = self.graph.plan(state, anchor, self.config.composition)
        values: dict[str, Tensor] = {image_value(m): images[m] for m in state.available}
        made = self._run(composition.calls, values)
        parts = _parts(values, composition.parts)
        return DenetOutput(
            parts=parts,
            embedding=self.head(parts),
            branches={m: made[branch_engine(m)] for m in state.available},
            recovered={
                (anchor, t): made[cmft_engine(anchor, t)]
                for t in self.graph.modalities
                if cmft_engine(anchor, t) in made
            },
        )

    def run_branches(self, images: Mapping[Modality, Tensor]) -> dict[Modality, BranchOutput]:
        """The branches alone, of images (B, 3, H, W) of each modality."""
        return {m: self.engines[branch_engine(m)](images[m]) for m in self.graph.modalities}

    def recover_all(self, output: DenetOutput) -> dict[Edge, CmftOutput]:
        """Every direction between the available modalities of `output`, as training needs.

        The directions that the composition ran already are not run again.
        """
        return {
            (s, t): output.recovered[s, t]
            if (s, t) in output.recovered
            else self.engines[cmft_engine(s, t)](output.branches[s].feature)
            for s, t in self.graph.pairs
            if s in output.branches and t in output.branches and cmft_engine(s, t) in self.engines
        }

    def observe(self, output: DenetOutput) -> None:
        """Tell each CMFT where the real features of its target stand, in training."""
        for source, target in self.graph.pairs:
            if cmft_engine(source, target) in self.engines:
                cmft = self.engines[cmft_engine(source, target)]
                assert isinstance(cmft, CMFT)
                cmft.down.observe(output.branches[target].pooled)

    def compose_states(
        self, output: DenetOutput, recovered: Mapping[Edge, CmftOutput]
    ) -> dict[State, Tensor]:
        """c(S), (M, B, C), of every state S, from what a complete batch has made.

        The costly part, branches and CMFTs, is done already, so training can see every state in
        every batch.

        Args:
            output: of a complete batch.
            recovered: all directions, as `recover_all` gives them.
        """
        known: dict[str, Any] = {branch_engine(m): made for m, made in output.branches.items()}
        known |= {cmft_engine(s, t): made for (s, t), made in recovered.items()}
        composed: dict[State, Tensor] = {}
        for anchor in self.graph.modalities:
            values: dict[str, Tensor] = {}  # what is recovered is called alike, whatever the anchor
            for state in (s for s in self.graph.states if s.anchor == anchor):
                composition = self.graph.plan(state, anchor, self.config.composition)
                for call in composition.calls:
                    if call.engine in known:  # and so is not run again
                        made = known[call.engine]
                        values |= {n: getattr(made, o) for o, (n,) in call.outputs.items()}
                self._run(composition.calls, values)
                whole = composition.parts[: len(self.graph.modalities)]
                composed[state] = _parts(values, whole)
        return composed

    def _run(self, calls: Sequence[Call], values: dict[str, Tensor]) -> dict[str, Any]:
        """Run `calls` on `values`, to which their outputs are added; what each engine made.

        A call whose outputs are among the values already is not run.
        """
        made: dict[str, Any] = {}

        def run(call: Call, inputs: dict[str, tuple[Tensor, ...]]) -> dict[str, Sequence[Tensor]]:
            output = made[call.engine] = self.engines[call.engine](**stacked(inputs, _stack))
            return unstacked({name: getattr(output, name) for name in call.outputs})

        execute(calls, values, run)
        return made

    def retrieve_by(self, neck: Neck) -> None:
        """Choose what retrieval compares; nothing of that is trained."""
        self.config = msgspec.structs.replace(self.config, neck=neck)

    def head(self, parts: Tensor) -> Tensor:
        """Parts (P, B, C) -> embedding (B, PC), L2-normalized; see `DenetOutput`."""
        joined = parts.transpose(0, 1).flatten(1)
        if self.config.neck == "after":
            joined = self.neck(joined)
        elif self.config.neck == "centred":
            assert self.neck.running_mean is not None
            joined = joined - self.neck.running_mean
        return functional.normalize(joined * self.part_scale())

    def part_scale(self) -> Tensor:
        """The weight of each number of an embedding before it is normalized, (dim,)."""
        scale = torch.ones(self.dim, device=self.neck.weight.device, dtype=self.neck.weight.dtype)
        scale[len(self.graph.modalities) * self.channels :] = self.config.anchor_weight
        return scale


def _stack(targets: Sequence[Tensor]) -> Tensor:
    return torch.stack(tuple(targets))


def _parts(values: Mapping[str, Tensor], names: Sequence[str]) -> Tensor:
    """The values (B, C) of these names as one tensor; at least one is not `ZERO`."""
    some = next(values[name] for name in names if name != ZERO)
    return torch.stack([torch.zeros_like(some) if n == ZERO else values[n] for n in names])
