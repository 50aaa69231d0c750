"""Modalities, missing states, the enhancement graph, and the plan of a state.

This module alone knows how DENet is composed (paper, Fig. 3 and Eq. 7-9). The network, the
exporter and the runtime all execute `plan(state)` and decide nothing themselves. It is plain
Python: a camera node imports it without torch.

The composition of a state S, with anchor a = the first available of rgb, nir, tir:

- `g_t` is the pooled feature of branch t; `r_t` is the pooled feature of t recovered from the
  anchor by CMFT a2t.
- c(S) concatenates, over the three targets t, the base of t (`g_t` where t is available, else
  `r_t`) plus the enhancement of every uncut edge s -> t. A missing modality is enhanced but
  enhances nobody: its outgoing edges are cut.
- The embedding is concat(c(S), c({a})): six parts. c({a}) is the paper's Eq. 8 for any anchor.

That is the "dynamic" composition, the paper's and the only one that is exported. The others are
what the paper compares it with; they exist for experiments (`denet experiment`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import combinations, permutations
from typing import Literal, get_args

from denet.errors import DenetError

Modality = Literal["rgb", "nir", "tir"]

MODALITIES: tuple[Modality, ...] = get_args(Modality)

Edge = tuple[Modality, Modality]
"""A directed pair (source, target) of different modalities."""

PAIRS: tuple[Edge, ...] = tuple(permutations(MODALITIES, 2))
"""The six directions, of CMFTs and of DEM edges alike."""

PARTS = 2 * len(MODALITIES)
"""Parts of an embedding: c(S) has one for each modality, and so has c({anchor})."""

Composition = Literal["dynamic", "fixed", "single", "none", "concat"]
"""How a state is composed:

- dynamic: DENet; the edges of missing modalities are cut.
- fixed: the graph does not follow the state: a missing modality enhances the others, too, with
  the feature map recovered for it.
- single: as dynamic, but of each pair of modalities only the first enhances the other, in the
  order rgb, nir, tir.
- none: recovery without enhancement.
- concat: the three-branch baseline; pooled features side by side, zero for a missing one. It has
  three parts, c(S) alone.
"""

MAX_TARGETS = 2
"""Most vectors that one edge enhances in one call: a real and a recovered target feature."""

STACKED = frozenset({"base", "sum", "enhanced"})
"""An edge's inputs and outputs that hold T target vectors, (T, B, C)."""


class StateError(DenetError):
    """What was named is no missing state."""


@dataclass(frozen=True, order=True)
class State:
    """A missing state, named by what is available; never empty.

    Build it with `State.of` or `State.parse`, which put the modalities in their fixed order.
    """

    available: tuple[Modality, ...]

    @classmethod
    def of(cls, modalities: Iterable[str]) -> State:
        """The state in which exactly `modalities` are available.

        Raises:
            StateError: no modality is given, or one is unknown.
        """
        given = set(modalities)
        unknown = sorted(given.difference(MODALITIES))
        if unknown:
            raise StateError(
                f"unknown modality {', '.join(map(repr, unknown))}: "
                f"choose from {', '.join(MODALITIES)}"
            )
        if not given:
            raise StateError("no modality is available: there is nothing to embed")
        return cls(tuple(m for m in MODALITIES if m in given))

    @classmethod
    def parse(cls, name: str) -> State:
        """The state called `name`, such as "rgb+tir" (in any order).

        Raises:
            StateError: `name` is not the name of a state.
        """
        try:
            return cls.of(m.strip() for m in name.lower().split("+"))
        except StateError:
            known = ", ".join(state.name for state in STATES)
            raise StateError(f"unknown state {name!r}: the states are {known}") from None

    @property
    def name(self) -> str:
        return "+".join(self.available)

    @property
    def missing(self) -> tuple[Modality, ...]:
        return tuple(m for m in MODALITIES if m not in self.available)

    @property
    def anchor(self) -> Modality:
        """The modality from which missing ones are recovered: the first that is available."""
        return self.available[0]

    @property
    def edges(self) -> tuple[Edge, ...]:
        """The uncut edges of the enhancement graph: those that start at an available modality."""
        return tuple((s, t) for s, t in PAIRS if s in self.available)

    def __str__(self) -> str:
        return self.name


STATES: tuple[State, ...] = tuple(
    State(chosen) for size in (3, 2, 1) for chosen in combinations(MODALITIES, size)
)
"""All seven states, the complete one first."""

COMPLETE: State = STATES[0]

GROUPS: dict[str, tuple[State, ...]] = {
    name: tuple(state for state in STATES if len(state.missing) == lost)
    for lost, name in enumerate(("complete", "one missing", "two missing"))
}
"""All states by how many modalities they lack; each is in one group."""


def branch_engine(modality: Modality) -> str:
    """The engine of a modality's branch."""
    return f"branch_{modality}"


def cmft_engine(source: Modality, target: Modality) -> str:
    """The engine that recovers `target` from `source`."""
    return f"cmft_{source}2{target}"


def dem_engine(source: Modality, target: Modality) -> str:
    """The engine of the edge from `source` to `target`."""
    return f"dem_{source}2{target}"


ENGINES: tuple[str, ...] = (
    *(branch_engine(m) for m in MODALITIES),
    *(cmft_engine(s, t) for s, t in PAIRS),
    # Edges into one target in the order of their sources: the order in which a chain adds them.
    *(dem_engine(s, t) for t in MODALITIES for s in MODALITIES if s != t),
)
"""The 15 engines in an order in which every plan can run them, each engine once."""


ZERO = "zero"
"""The value that stands for a missing modality in the "concat" composition: zeros (B, C)."""


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
    """The engine calls of a state in order, and the six values that make its embedding."""

    state: State
    calls: tuple[Call, ...]
    parts: tuple[str, ...]

    @property
    def engines(self) -> tuple[str, ...]:
        return tuple(call.engine for call in self.calls)


def image_value(modality: Modality) -> str:
    """The name of a modality's image in a plan."""
    return f"image_{modality}"


@dataclass(frozen=True)
class _Step:
    """One edge applied to one vector: `after` = `before` + edge(`feature`, `base`)."""

    source: Modality
    real: bool  # the source's own feature, not one recovered for it
    base: str
    before: str

    @property
    def feature(self) -> str:
        return f"feature_{self.source}" if self.real else f"recovered_map_{self.source}"

    @property
    def after(self) -> str:
        return f"{self.before}+{self.source}" + ("" if self.real else "'")


def _sources(target: Modality, state: State, composition: Composition) -> list[Modality]:
    """The modalities whose edges enhance `target` in c(state), in order."""
    if composition == "none":
        return []
    among = MODALITIES if composition == "fixed" else state.available
    if composition == "single":
        among = tuple(m for m in among if MODALITIES.index(m) < MODALITIES.index(target))
    return [m for m in among if m != target]


def _chain(target: Modality, state: State, composition: Composition) -> tuple[str, list[_Step]]:
    """The base of `target` in c(state), and the steps that enhance it, in order."""
    base = f"pooled_{target}" if target in state.available else f"recovered_{target}"
    steps: list[_Step] = []
    for source in _sources(target, state, composition):
        before = steps[-1].after if steps else base
        steps.append(_Step(source, source in state.available, base, before))
    return base, steps


@cache
def plan(
    state: State, anchor: Modality | None = None, composition: Composition = "dynamic"
) -> Plan:
    """The engine calls that yield concat(c(S), c({anchor})) for `state`, each call once.

    `anchor` is the state's own unless another available modality is named, as training does.
    Of the compositions, "concat" yields c(S) alone, in which the part of a missing modality is
    called `ZERO`.

    What c(S) and c({anchor}) share is computed once: where a target is missing, its chain in
    c({anchor}) is the beginning of its chain in c(S). Where it is available, the anchor's edge
    enhances the real and the recovered feature in one call, since its cost is the reading of
    its weights and of the source feature, not the arithmetic on a second vector.
    """
    anchor = anchor or state.anchor
    if anchor not in state.available:
        raise StateError(f"{anchor} is missing in state {state}: it cannot be the anchor")
    calls = [
        Call(
            branch_engine(m),
            {"image": (image_value(m),)},
            {"feature": (f"feature_{m}",), "pooled": (f"pooled_{m}",)},
        )
        for m in state.available
    ]
    if composition == "concat":
        return Plan(
            state,
            tuple(calls),
            tuple(f"pooled_{m}" if m in state.available else ZERO for m in MODALITIES),
        )
    for target in MODALITIES:
        if target != anchor:
            outputs: dict[str, tuple[str, ...]] = {"pooled": (f"recovered_{target}",)}
            if composition == "fixed":
                outputs["feature"] = (f"recovered_map_{target}",)
            calls.append(
                Call(cmft_engine(anchor, target), {"feature": (f"feature_{anchor}",)}, outputs)
            )

    parts: dict[tuple[State, Modality], str] = {}
    alone = State((anchor,))
    for target in MODALITIES:
        steps: dict[_Step, None] = {}  # in order, shared ones once
        for graph in (state, alone):
            base, chain = _chain(target, graph, composition)
            steps.update(dict.fromkeys(chain))
            parts[graph, target] = chain[-1].after if chain else base
        # In the order of the sources, real before recovered: every chain follows it.
        features = {(MODALITIES.index(step.source), not step.real): step for step in steps}
        for first in (features[key] for key in sorted(features)):
            source, feature = first.source, first.feature
            mine = [step for step in steps if step.feature == feature]
            calls.append(
                Call(
                    dem_engine(source, target),
                    {
                        "feature": (feature,),
                        "base": tuple(step.base for step in mine),
                        "sum": tuple(step.before for step in mine),
                    },
                    {"enhanced": tuple(step.after for step in mine)},
                )
            )
    order = [parts[graph, target] for graph in (state, alone) for target in MODALITIES]
    return Plan(state, tuple(calls), tuple(order))
