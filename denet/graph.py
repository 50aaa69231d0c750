"""Modalities, missing states, the enhancement graph, and the plan of a state.

This module alone knows how DENet is composed (paper, Fig. 3 and Eq. 7-9), what its engines and the
values between them are called, and how a plan is executed. The network, the exporter, calibration,
the benchmark and the runtime follow it and decide nothing themselves. It is plain Python: a camera
node imports it without torch.

A `Graph` is made of the modalities that a model has. The composition of a state S of it, with
anchor a = the first modality of the graph that is available:

- `g_t` is the pooled feature of branch t; `r_t` is the pooled feature of t recovered from the
  anchor by CMFT a2t.
- c(S) concatenates, over all targets t, the base of t (`g_t` where t is available, else `r_t`)
  plus the enhancement of every uncut edge s -> t. A missing modality is enhanced but enhances
  nobody: its outgoing edges are cut.
- The embedding is concat(c(S), c({a})): two parts for each modality. c({a}) is the paper's Eq. 8
  for any anchor.
- Of a single modality there is one state, nothing to recover and nobody to enhance: c(S) and c({a})
  are the same `g_t`, which the embedding then has once. That is plain re-identification.

That is the "dynamic" composition, the paper's and the only one that is exported. The others are
what it is compared with; they exist for experiments (`denet experiment`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import combinations, permutations
from typing import Any, Literal, TypeVar, get_args

from denet.errors import DenetError

Modality = str
"""What a sensor sees in, by name: "rgb", "nir", "tir"."""

Edge = tuple[Modality, Modality]
"""A directed pair (source, target) of different modalities."""

Composition = Literal[
    "dynamic", "fixed", "single", "uncut", "ordered", "none", "concat", "transposed"
]
"""How a state is composed: which edges there are, and which of them a state cuts.

- dynamic: DENet; all edges, those of missing modalities cut.
- fixed: the paper's of that name. The first modality enhances every other, and nobody else
  enhances anybody, whatever is missing: where the first is missing, by the feature map recovered
  for it.
- single: the paper's single direction, the cycle in the order of the graph: R2N, N2T, T2R. A
  missing modality's edge is cut.
- uncut: all edges, whatever is missing: a missing modality enhances the others, too, by the
  feature map recovered for it.
- ordered: as dynamic, but of each pair of modalities only the first enhances the other, in the
  order of the graph.
- none: recovery without enhancement.
- concat: the baseline of branches alone; pooled features side by side, zero for a missing one. It
  has c(S) alone.
- transposed: as dynamic, with Eq. 5 read the other way (`denet.dem.TransposedEdge`), so that an
  edge reads the feature map of its target and not its pooled feature.

The paper's Table VII compares dynamic, fixed and single; uncut and ordered are this project's.
"""

Kind = Literal["branch", "cmft", "dem"]
"""What an engine is: the branch of a modality, a CMFT, or an edge of the DEM."""

KINDS: tuple[Kind, ...] = get_args(Kind)

KIND_NAMES: dict[Kind, str] = {"branch": "branches", "cmft": "CMFTs", "dem": "edges"}
"""What all engines of a kind are called."""

_NAME = "[a-z]+"
_BRANCH = re.compile(f"branch_(?P<of>{_NAME})")
_EDGE = re.compile(f"(?P<kind>cmft|dem)_(?P<source>{_NAME})2(?P<target>{_NAME})")

MAX_TARGETS = 2
"""Most vectors that one edge enhances in one call: a real and a recovered target feature."""

STACKED = frozenset({"base", "sum", "enhanced"})
"""An edge's inputs and outputs that hold T target vectors, (T, B, C); for `TransposedEdge` the
bases are maps, (T, B, C, h, w)."""

ZERO = "zero"
"""The value that stands for a missing modality in the "concat" composition: zeros (B, C)."""

_LOST = ("complete", "one missing", "two missing", "three missing")


class StateError(DenetError):
    """What was named is no missing state."""


@dataclass(frozen=True, order=True)
class State:
    """A missing state, named by what is available; never empty.

    `Graph.state` and `Graph.parse` make it, with the modalities in the order of their graph.
    """

    available: tuple[Modality, ...]

    @property
    def name(self) -> str:
        return "+".join(self.available)

    @property
    def anchor(self) -> Modality:
        """The modality from which missing ones are recovered: the first that is available."""
        return self.available[0]

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Component:
    """What an engine is of: a branch of `source` (then also the target), or source -> target."""

    kind: Kind
    source: Modality
    target: Modality

    @property
    def engine(self) -> str:
        """The name of its engine: `branch_rgb`, `cmft_rgb2nir`, `dem_rgb2nir`."""
        ends = self.source if self.kind == "branch" else f"{self.source}2{self.target}"
        return f"{self.kind}_{ends}"


def branch_engine(modality: Modality) -> str:
    """The engine of a modality's branch."""
    return Component("branch", modality, modality).engine


def cmft_engine(source: Modality, target: Modality) -> str:
    """The engine that recovers `target` from `source`."""
    return Component("cmft", source, target).engine


def dem_engine(source: Modality, target: Modality) -> str:
    """The engine of the edge from `source` to `target`."""
    return Component("dem", source, target).engine


@cache
def component(engine: str) -> Component:
    """What the engine called `engine` is.

    Raises:
        ValueError: it is not the name of an engine.
    """
    if found := _BRANCH.fullmatch(engine):
        return Component("branch", found["of"], found["of"])
    found = _EDGE.fullmatch(engine)
    if found is None or found["source"] == found["target"]:
        raise ValueError(f"{engine!r} is not the name of an engine")
    kind: Kind = "cmft" if found["kind"] == "cmft" else "dem"
    return Component(kind, found["source"], found["target"])


def kind_of(engine: str) -> Kind:
    """The kind of the engine called `engine`. Raises: as `component`."""
    return component(engine).kind


ValueKind = Literal["image", "feature", "pooled", "recovered"]
"""What a value of a plan can be, before edges enhance it."""


def image_value(modality: Modality) -> str:
    """The name of a modality's image in a plan: an input of it, (B, 3, H, W)."""
    return f"image_{modality}"


def feature_value(modality: Modality) -> str:
    """The name of the feature map of a modality's branch, (B, C, h, w)."""
    return f"feature_{modality}"


def pooled_value(modality: Modality) -> str:
    """The name of the pooled feature of a modality's branch, (B, C)."""
    return f"pooled_{modality}"


def recovered_value(modality: Modality) -> str:
    """The name of what the anchor's CMFT recovers for a modality, pooled, (B, C)."""
    return f"recovered_{modality}"


def _recovered_map(modality: Modality) -> str:
    return f"recovered_map_{modality}"


@dataclass(frozen=True)
class Call:
    """One run of one engine: which values it reads and which it makes.

    Values are named by what they are: `image_rgb`, `feature_rgb`, `pooled_rgb`,
    `recovered_nir`, and for a vector that edges have enhanced, the vector followed by their
    sources in order: `recovered_nir+rgb+tir`. A value with one name is computed once.

    The inputs and outputs named in `STACKED` hold one value for each target of an edge (1 or
    2), stacked in that order along a first axis; every other input and output holds one.
    """

    engine: str
    inputs: dict[str, tuple[str, ...]]
    outputs: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Plan:
    """The engine calls of a state in order, and the values that make its embedding."""

    state: State
    calls: tuple[Call, ...]
    parts: tuple[str, ...]

    @property
    def engines(self) -> tuple[str, ...]:
        return tuple(call.engine for call in self.calls)


Value = TypeVar("Value")

Run = Callable[[Call, dict[str, tuple[Value, ...]]], Mapping[str, Sequence[Value]]]
"""Runs a call on the values of each of its inputs, by name: the values of each of its outputs."""


def execute(calls: Iterable[Call], values: dict[str, Value], run: Run[Value]) -> None:
    """Run `calls` in order, and put what they make among `values`, by the names of the plan.

    A call whose outputs are all among the values already is not run. What a value is does not
    matter here: a tensor, an array, or how it could be made.

    Args:
        calls: of one plan or of several that mean the same by a name.
        values: what the calls start from, such as images; gets what they make.
        run: runs one call; `stacked` and `unstacked` are between it and an engine.

    Raises:
        KeyError: a call reads what is not there.
    """
    for call in calls:
        if all(name in values for names in call.outputs.values() for name in names):
            continue
        made = run(call, {n: tuple(values[v] for v in names) for n, names in call.inputs.items()})
        for output, names in call.outputs.items():
            values.update(zip(names, made[output], strict=True))


def stacked(
    inputs: Mapping[str, Sequence[Value]], stack: Callable[[Sequence[Value]], Value]
) -> dict[str, Value]:
    """What an engine takes for the `inputs` of a call: one value each, or the targets stacked."""
    return {n: stack(each) if n in STACKED else each[0] for n, each in inputs.items()}


def unstacked(outputs: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    """What an engine made, as the values of each output; the first axis of a stack is targets."""
    return {n: made if n in STACKED else [made] for n, made in outputs.items()}


@dataclass(frozen=True)
class _Step:
    """One edge applied to one vector: `after` = `before` + edge(`feature`, `base`)."""

    source: Modality
    real: bool  # the source's own feature, not one recovered for it
    base: str  # what the edge looks at of the target
    before: str

    @property
    def feature(self) -> str:
        return feature_value(self.source) if self.real else _recovered_map(self.source)

    @property
    def after(self) -> str:
        return f"{self.before}+{self.source}" + ("" if self.real else "'")


@dataclass(frozen=True)
class Graph:
    """The enhancement graph over the modalities of a model.

    Attributes:
        modalities: in the order in which an anchor is chosen; each of lower-case letters alone,
            since names of engines, values and states join them by other characters.

    Raises:
        ValueError: there is none, one is given twice, or one has another name.
    """

    modalities: tuple[Modality, ...]

    def __post_init__(self) -> None:
        if not self.modalities or len(set(self.modalities)) != len(self.modalities):
            raise ValueError(f"a graph has one or more different modalities: {self.modalities}")
        for modality in self.modalities:
            if not re.fullmatch(_NAME, modality):
                raise ValueError(f"a modality is named by the letters a to z, not {modality!r}")

    @cached_property
    def pairs(self) -> tuple[Edge, ...]:
        """All directions, of CMFTs and of DEM edges alike."""
        return tuple(permutations(self.modalities, 2))

    @cached_property
    def states(self) -> tuple[State, ...]:
        """All states, the complete one first, those that lack most last."""
        sizes = range(len(self.modalities), 0, -1)
        return tuple(State(c) for size in sizes for c in combinations(self.modalities, size))

    @property
    def complete(self) -> State:
        """The state in which nothing is missing."""
        return State(self.modalities)

    @cached_property
    def groups(self) -> dict[str, tuple[State, ...]]:
        """All states by how many modalities they lack; each is in one group."""
        return {
            _LOST[lost]: tuple(s for s in self.states if len(self.missing(s)) == lost)
            for lost in range(len(self.modalities))
        }

    @cached_property
    def components(self) -> tuple[Component, ...]:
        """What the graph is made of, in an order in which every plan can run it, each once."""
        order = self.modalities
        return (
            *(Component("branch", m, m) for m in order),
            *(Component("cmft", s, t) for s, t in self.pairs),
            # Edges into one target in the order of their sources: in which a chain adds them.
            *(Component("dem", s, t) for t in order for s in order if s != t),
        )

    @cached_property
    def engines(self) -> tuple[str, ...]:
        """The engines of all components, in their order: 15 of three modalities, 6 of two, 1 of
        one."""
        return tuple(component.engine for component in self.components)

    @property
    def parts(self) -> int:
        """Parts of an embedding: c(S) has one for each modality, and so has c({anchor}), which is
        no other than c(S) where there is one modality."""
        count = len(self.modalities)
        return 1 if count == 1 else 2 * count

    def state(self, modalities: Iterable[Modality]) -> State:
        """The state in which exactly `modalities` are available.

        Raises:
            StateError: no modality is given, or one is not of this graph.
        """
        given = set(modalities)
        if unknown := sorted(given.difference(self.modalities)):
            raise StateError(
                f"unknown modality {', '.join(map(repr, unknown))}: "
                f"choose from {', '.join(self.modalities)}"
            )
        if not given:
            raise StateError("no modality is available: there is nothing to embed")
        return State(tuple(m for m in self.modalities if m in given))

    def parse(self, name: str) -> State:
        """The state called `name`, such as "rgb+tir" (in any order).

        Raises:
            StateError: `name` is not the name of a state of this graph.
        """
        try:
            return self.state(m.strip() for m in name.lower().split("+"))
        except StateError:
            known = ", ".join(state.name for state in self.states)
            raise StateError(f"unknown state {name!r}: the states are {known}") from None

    def missing(self, state: State) -> tuple[Modality, ...]:
        """The modalities that `state` lacks."""
        return tuple(m for m in self.modalities if m not in state.available)

    def edges(self, state: State, composition: Composition = "dynamic") -> tuple[Edge, ...]:
        """The edges that enhance in c(state), in the order of `pairs`.

        In the "dynamic" composition those that start at an available modality.
        """
        cut = composition not in ("fixed", "uncut")
        return tuple(
            (s, t)
            for s, t in self.pairs
            if self._connected(s, t, composition) and (s in state.available or not cut)
        )

    def _connected(self, source: Modality, target: Modality, composition: Composition) -> bool:
        """Whether the graph of a composition has an edge before any is cut."""
        place = self.modalities.index
        if composition == "fixed":
            return place(source) == 0
        if composition == "single":
            return (place(source) + 1) % len(self.modalities) == place(target)
        if composition == "ordered":
            return place(source) < place(target)
        return composition not in ("none", "concat")

    def engines_of(self, states: Iterable[State]) -> tuple[str, ...]:
        """The engines that some of `states` run, in the order of `engines`."""
        run = {engine for state in states for engine in self.plan(state).engines}
        return tuple(engine for engine in self.engines if engine in run)

    def plan(
        self, state: State, anchor: Modality | None = None, composition: Composition = "dynamic"
    ) -> Plan:
        """The engine calls that yield concat(c(S), c({anchor})) for `state`, each call once.

        `anchor` is the state's own unless another available modality is named, as training does.
        Of the compositions, "concat" yields c(S) alone, in which the part of a missing modality
        is called `ZERO`. A graph of one modality yields c(S) alone in all of them.

        What c(S) and c({anchor}) share is computed once: where a target is missing, its chain in
        c({anchor}) is the beginning of its chain in c(S). Where it is available, the anchor's
        edge enhances the real and the recovered feature in one call, since its cost is the
        reading of its weights and of the source feature, not the arithmetic on a second vector.

        Raises:
            StateError: the anchor is missing.
        """
        return _plan(self, state, anchor or state.anchor, composition)

    def _chain(
        self, target: Modality, state: State, composition: Composition
    ) -> tuple[str, list[_Step]]:
        """The base of `target` in c(state), and the steps that enhance it, in order."""
        available = target in state.available
        base = pooled_value(target) if available else recovered_value(target)
        seen = base
        if composition == "transposed":
            seen = feature_value(target) if available else _recovered_map(target)
        steps: list[_Step] = []
        edges = self.edges(state, composition)
        for source in (s for s in self.modalities if (s, target) in edges):
            before = steps[-1].after if steps else base
            steps.append(_Step(source, source in state.available, seen, before))
        return base, steps

    def _edge_calls(
        self, target: Modality, states: Sequence[State], composition: Composition
    ) -> tuple[list[Call], list[str]]:
        """The calls that enhance `target` in c(state) of all `states`, and its part in each."""
        steps: dict[_Step, None] = {}  # in order, shared ones once
        parts: list[str] = []
        for state in states:
            base, chain = self._chain(target, state, composition)
            steps.update(dict.fromkeys(chain))
            parts.append(chain[-1].after if chain else base)
        # In the order of the sources, real before recovered: every chain follows it.
        order = self.modalities.index
        features = {(order(step.source), not step.real): step for step in steps}
        calls: list[Call] = []
        for first in (features[key] for key in sorted(features)):
            mine = [step for step in steps if step.feature == first.feature]
            inputs = {
                "feature": (first.feature,),
                "base": tuple(step.base for step in mine),
                "sum": tuple(step.before for step in mine),
            }
            enhanced = {"enhanced": tuple(step.after for step in mine)}
            calls.append(Call(dem_engine(first.source, target), inputs, enhanced))
        return calls, parts


RGB_NIR_TIR = Graph(("rgb", "nir", "tir"))
"""The paper's graph: what a model has that says nothing else."""


@cache
def _plan(graph: Graph, state: State, anchor: Modality, composition: Composition) -> Plan:
    if anchor not in state.available:
        raise StateError(f"{anchor} is missing in state {state}: it cannot be the anchor")
    calls = [
        Call(
            branch_engine(m),
            {"image": (image_value(m),)},
            {"feature": (feature_value(m),), "pooled": (pooled_value(m),)},
        )
        for m in state.available
    ]
    if composition == "concat":
        parts = (pooled_value(m) if m in state.available else ZERO for m in graph.modalities)
        return Plan(state, tuple(calls), tuple(parts))
    edges: list[Call] = []
    whole: list[str] = []
    alone: list[str] = []
    for target in graph.modalities:
        own, (part, part_alone) = graph._edge_calls(target, (state, State((anchor,))), composition)
        edges += own
        whole.append(part)
        alone.append(part_alone)
    read = {name for call in edges for names in call.inputs.values() for name in names}
    for target in graph.modalities:
        if target != anchor:
            outputs: dict[str, tuple[str, ...]] = {"pooled": (recovered_value(target),)}
            if _recovered_map(target) in read:
                outputs["feature"] = (_recovered_map(target),)
            inputs: dict[str, tuple[str, ...]] = {"feature": (feature_value(anchor),)}
            calls.append(Call(cmft_engine(anchor, target), inputs, outputs))
    if len(graph.modalities) > 1:
        whole += alone
    return Plan(state, (*calls, *edges), tuple(whole))
