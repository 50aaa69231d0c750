"""A training batch whose samples lack modalities: what each engine runs on.

Every engine runs once on the samples that have what it reads, and on no other: a branch on those
that have its modality, a CMFT on those that have its source, an edge on those that have both ends,
or have the source and a recovered target. So no placeholder enters the statistics of any batch
normalization. These need two values at least: of fewer, an engine runs on the statistics that it
has, as in evaluation, and leaves them as they are. An engine that no sample has an input for is
not run.

With a complete batch it computes what `denet.model` computes, in another order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from denet.branch import BranchOutput
from denet.cmft import CMFT, CmftOutput
from denet.graph import (
    ZERO,
    Call,
    Edge,
    Modality,
    Plan,
    State,
    branch_engine,
    cmft_engine,
    component,
    execute,
    feature_value,
    kind_of,
)
from denet.model import DENet, DenetOutput
from denet.presence import Presence, Rows, common, take
from denet.settled import LEAST_VALUES, settled

Known = Mapping[str, BranchOutput | CmftOutput]
"""What branches and CMFTs made, by engine."""


class Part(NamedTuple):
    """A value of some samples of a batch."""

    value: Tensor  # (n, ...)
    rows: Rows  # n places in the batch

    def of(self, rows: Rows) -> Tensor:
        """That of the samples `rows`, which are among these."""
        return take(self.value, self.rows, rows)


def run_branches(model: DENet, images: Mapping[Modality, Tensor]) -> dict[Modality, BranchOutput]:
    """The branches of the modalities that a batch has, each on the images (n, 3, H, W) of it."""
    made: dict[Modality, BranchOutput] = {}
    for modality in model.graph.modalities:
        if modality in images and len(images[modality]):
            branch = model.engines[branch_engine(modality)]
            with settled(branch, len(images[modality])):
                made[modality] = branch(images[modality])
    return made


def recover_all(model: DENet, branches: Mapping[Modality, BranchOutput]) -> dict[Edge, CmftOutput]:
    """Every direction whose source some samples have, of these samples."""
    made: dict[Edge, CmftOutput] = {}
    for source, target in model.graph.pairs:
        name = cmft_engine(source, target)
        if source in branches and name in model.engines:
            feature = branches[source].feature
            with settled(model.engines[name], len(feature)):
                made[source, target] = model.engines[name](feature)
    return made


def observe(model: DENet, branches: Mapping[Modality, BranchOutput]) -> None:
    """Tell each CMFT where the real features of its target stand, in training."""
    for source, target in model.graph.pairs:
        name = cmft_engine(source, target)
        if name in model.engines and target in branches:
            pooled, cmft = branches[target].pooled, model.engines[name]
            assert isinstance(cmft, CMFT)
            if len(pooled) >= LEAST_VALUES:
                cmft.down.observe(pooled)


def compose(
    model: DENet,
    branches: Mapping[Modality, BranchOutput],
    recovered: Mapping[Edge, CmftOutput],
    presence: Presence,
    anchor: Modality,
) -> DenetOutput:
    """Each sample of a batch in the state that it is in.

    Args:
        model: the network.
        branches: of the samples that have each modality.
        recovered: of the samples that have each source.
        presence: which samples these are, of B.
        anchor: of the samples that have it; of the others it is the first that they have.

    Returns:
        Parts and embeddings of all B samples; branches as they are given, and no recovered ones.
    """
    known = _known(branches, recovered)
    members: dict[State, list[int]] = {}
    for row, state in enumerate(presence.states):
        members.setdefault(state, []).append(row)
    groups: list[tuple[Plan, Rows, dict[str, Part]]] = []
    # An edge runs once for all states, however few samples are in each.
    calls: dict[tuple[int, int], list[tuple[Call, dict[str, Part]]]] = {}
    for state, found in members.items():
        rows = tuple(found)
        own = anchor if anchor in state.available else state.anchor
        plan = model.graph.plan(state, own, model.config.composition)
        values = _values(plan.calls, known, presence, rows)
        groups.append((plan, rows, values))
        for call in (call for call in plan.calls if kind_of(call.engine) == "dem"):
            # Of the real feature of its source, then of the one recovered for it.
            real = call.inputs["feature"] == (feature_value(component(call.engine).source),)
            key = model.graph.engines.index(call.engine), int(not real)
            calls.setdefault(key, []).append((call, values))
    for key in sorted(calls):
        _enhance(model, calls[key])
    parts = torch.cat([_stacked(values, plan.parts, rows) for plan, rows, values in groups], dim=1)
    place = {row: i for i, row in enumerate(row for _, rows, _ in groups for row in rows)}
    back = torch.tensor([place[row] for row in range(presence.size)], device=parts.device)
    parts = parts.index_select(1, back)
    with settled(model.neck, presence.size):
        embedding = model.head(parts)
    return DenetOutput(parts, embedding, dict(branches), {})


def compose_states(
    model: DENet,
    branches: Mapping[Modality, BranchOutput],
    recovered: Mapping[Edge, CmftOutput],
    presence: Presence,
) -> dict[State, Tensor]:
    """c(S), (M, n, C), of every state S that some of a batch can be in, of these n samples.

    Args: as of `compose`.
    """
    known = _known(branches, recovered)
    composed: dict[State, Tensor] = {}
    for anchor in model.graph.modalities:
        values: dict[str, Part] = {}  # what is recovered is called alike, whatever the anchor
        for state in (s for s in model.graph.states if s.anchor == anchor):
            rows = presence.having(state.available)
            if not rows:
                continue
            plan = model.graph.plan(state, anchor, model.config.composition)
            values |= _values(plan.calls, known, presence)

            def run(
                call: Call, _: object, values: dict[str, Part] = values
            ) -> Mapping[str, Sequence[Part]]:
                return {"enhanced": _enhanced(model, [(call, values)])}

            execute(plan.calls, values, run)
            composed[state] = _stacked(values, plan.parts[: len(model.graph.modalities)], rows)
    return composed


def _known(
    branches: Mapping[Modality, BranchOutput], recovered: Mapping[Edge, CmftOutput]
) -> dict[str, BranchOutput | CmftOutput]:
    known: dict[str, BranchOutput | CmftOutput] = {
        branch_engine(m): made for m, made in branches.items()
    }
    return known | {cmft_engine(s, t): made for (s, t), made in recovered.items()}


def _values(
    calls: Sequence[Call], known: Known, presence: Presence, rows: Rows | None = None
) -> dict[str, Part]:
    """What branches and CMFTs made, by the names of a plan; of `rows` alone, if they are given."""
    values: dict[str, Part] = {}
    for call in calls:
        if call.engine in known:
            have = presence.having([component(call.engine).source])
            for output, (name,) in call.outputs.items():
                made = Part(getattr(known[call.engine], output), have)
                values[name] = made if rows is None else Part(made.of(rows), rows)
    return values


def _enhance(model: DENet, calls: Sequence[tuple[Call, dict[str, Part]]]) -> None:
    """Run an edge for the calls of several states at once; each gets its values."""
    made = iter(_enhanced(model, calls))
    for call, values in calls:
        values.update((name, next(made)) for name in call.outputs["enhanced"])


def _enhanced(model: DENet, calls: Sequence[tuple[Call, dict[str, Part]]]) -> list[Part]:
    """One run of an edge on all targets of `calls`, each of the samples that have what it reads."""
    engine = model.engines[calls[0][0].engine]
    features, bases, sums, counts = [], [], [], []
    for call, values in calls:
        (name,) = call.inputs["feature"]
        for base, total in zip(call.inputs["base"], call.inputs["sum"], strict=True):
            rows = common(values[name].rows, values[base].rows, values[total].rows)
            features.append(values[name].of(rows))
            bases.append(values[base].of(rows))
            sums.append(values[total].of(rows))
            counts.append(rows)
    sizes = [len(rows) for rows in counts]
    with settled(engine, sum(sizes)):
        made = engine(
            feature=torch.cat(features), base=torch.cat(bases)[None], sum=torch.cat(sums)[None]
        ).enhanced[0]
    return [Part(part, rows) for part, rows in zip(made.split(sizes), counts, strict=True)]


def _stacked(values: Mapping[str, Part], names: Sequence[str], rows: Rows) -> Tensor:
    """The values of `rows` by these names, (P, n, C); zeros for `ZERO`."""
    found = {name: values[name].of(rows) for name in names if name != ZERO}
    like = next(iter(found.values()))
    return torch.stack([found.get(name, torch.zeros_like(like)) for name in names])
