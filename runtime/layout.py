"""Where the values of a batch live, and which engine runs on which rows: pure planning.

A batch may mix missing states. Its samples are put in an order in which every engine finds the
source features that it needs in one block of rows, so each engine runs once, over exactly the
samples that need it, and no feature map is ever copied. Pooled vectors (C numbers each) all
live in one table; where an edge needs them in another order, single rows are copied.

Nothing here touches memory or a device. `layout` decides, `runtime.composer` executes, and any
backend can run what it decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from denet.graph import (
    MAX_TARGETS,
    STACKED,
    Call,
    Graph,
    Modality,
    State,
    branch_engine,
    cmft_engine,
    feature_value,
    image_value,
    pooled_value,
    recovered_value,
)

TableKind = Literal["image", "feature", "vector"]
"""What the rows of a table are: images (3, H, W), feature maps (C, h, w), or vectors (C)."""

VECTORS = "vectors"
"""The table of all pooled, recovered and enhanced vectors, (rows, C)."""


@dataclass(frozen=True)
class Rows:
    """The rows [start, start + count) of a table: `image_m`, `feature_m` or `vectors`."""

    table: str
    start: int
    count: int

    @property
    def stop(self) -> int:
        return self.start + self.count

    def overlaps(self, other: Rows) -> bool:
        return self.table == other.table and self.start < other.stop and other.start < self.stop


@dataclass(frozen=True)
class Copy:
    """Copy the rows of `source` to `target`; both have the same number of rows."""

    source: Rows
    target: Rows


@dataclass(frozen=True)
class EngineRun:
    """Run `engine` over `batch` samples; an edge enhances `targets` vectors of each.

    What is named in `graph.STACKED` holds targets * batch rows, the targets outermost.
    """

    engine: str
    batch: int
    targets: int
    inputs: dict[str, Rows]
    outputs: dict[str, Rows]


@dataclass(frozen=True)
class Layout:
    """The execution of a batch whose samples are in `states`, in that order.

    Attributes:
        states: the state of each sample, sorted by `batch_order`.
        tables: the number of rows of each table.
        kinds: what the rows of each table are.
        images: for each modality, the samples whose images are the rows of its image table.
        steps: what to do, in order.
        parts: for each sample, the rows of `vectors` that make its embedding.
    """

    states: tuple[State, ...]
    tables: dict[str, int]
    kinds: dict[str, TableKind]
    images: dict[Modality, tuple[int, ...]]
    steps: tuple[Copy | EngineRun, ...]
    parts: tuple[tuple[int, ...], ...]


@cache
def _places(graph: Graph) -> dict[State, tuple[int, int]]:
    """What the samples of a batch are ordered by."""
    order = graph.modalities.index
    return {state: (order(state.anchor), i) for i, state in enumerate(graph.states)}


def batch_order(graph: Graph, states: Sequence[State]) -> list[int]:
    """The order in which `layout` takes the samples of a batch: by anchor, then by state.

    With it the samples that one CMFT serves, those with its source as anchor, are neighbours
    in every table. The sort is stable.
    """
    if len(states) == 1:
        return [0]
    places = _places(graph)
    return sorted(range(len(states)), key=lambda i: places[states[i]])


@cache
def most_vectors(graph: Graph) -> int:
    """Rows of `vectors` that a sample needs at most, whatever it is batched with: one for what a
    branch or a CMFT makes, and `MAX_TARGETS` for each input of an edge (if all of them have to be
    copied) and for its output."""
    return max(
        sum(
            MAX_TARGETS if name in STACKED else name == "pooled"
            for call in graph.plan(state).calls
            for name in (*call.inputs, *call.outputs)
        )
        for state in graph.states
    )


def layout(graph: Graph, states: Sequence[State]) -> Layout:
    """Lay out a batch.

    Args:
        graph: of the model.
        states: the state of each sample, in `batch_order`.
    """
    calls: list[dict[str, Call]] = [{c.engine: c for c in graph.plan(s).calls} for s in states]
    samples_of = {e: [i for i, mine in enumerate(calls) if e in mine] for e in graph.engines}
    home: dict[tuple[int, str], tuple[str, int]] = {}  # (sample, value) -> (table, row)
    tables = {VECTORS: 0}
    kinds: dict[str, TableKind] = {VECTORS: "vector"}

    def place(table: str, samples: Sequence[int], value: str) -> Rows:
        start = tables.get(table, 0)
        for row, sample in enumerate(samples, start):
            home[sample, value] = table, row
        tables[table] = start + len(samples)
        return Rows(table, start, len(samples))

    images: dict[Modality, tuple[int, ...]] = {}
    for m in graph.modalities:
        if samples := samples_of[branch_engine(m)]:
            images[m] = tuple(samples)
            image, feature = image_value(m), feature_value(m)
            kinds |= {image: "image", feature: "feature"}
            place(image, samples, image)
            place(feature, samples, feature)
            place(VECTORS, samples, pooled_value(m))
        # Right behind the real features of m: where an edge enhances both the real and the
        # recovered ones of one state, they already lie as it wants them.
        for a in graph.modalities:
            if a != m:
                place(VECTORS, samples_of[cmft_engine(a, m)], recovered_value(m))

    steps: list[Copy | EngineRun] = []
    collected: dict[tuple[tuple[str, int], ...], Rows] = {}

    def collect(rows: tuple[tuple[str, int], ...]) -> Rows:
        """One span that holds `rows` in order: a view where they lie so already, else a copy.

        No row is ever written twice, so one copy serves all who want the same rows.
        """
        if rows not in collected:
            collected[rows], copies = _gather(rows, tables)
            steps.extend(copies)
        return collected[rows]

    def wanted(engine: str, name: str, targets: int) -> tuple[tuple[str, int], ...]:
        """The homes of an input's rows; a sample with fewer targets repeats its last one."""
        samples = samples_of[engine]
        values = [calls[i][engine].inputs[name] for i in samples]
        return tuple(
            home[i, names[min(k, len(names) - 1)]]
            for k in range(targets)
            for i, names in zip(samples, values, strict=True)
        )

    for engine in graph.engines:
        samples = samples_of[engine]
        if not samples:
            continue
        mine = [calls[i][engine] for i in samples]
        targets = max(len(names) for call in mine for names in call.outputs.values())
        inputs = {
            name: collect(wanted(engine, name, targets if name in STACKED else 1))
            for name in mine[0].inputs
        }
        outputs: dict[str, Rows] = {}
        for name in mine[0].outputs:
            if name in STACKED:
                start = tables[VECTORS]
                tables[VECTORS] += targets * len(samples)
                outputs[name] = Rows(VECTORS, start, targets * len(samples))
                for column, (i, call) in enumerate(zip(samples, mine, strict=True)):
                    for k, value in enumerate(call.outputs[name]):
                        home[i, value] = VECTORS, start + k * len(samples) + column
            else:
                rows = tuple(
                    home[i, call.outputs[name][0]] for i, call in zip(samples, mine, strict=True)
                )
                outputs[name], copies = _gather(rows, tables)
                assert not copies, "an output is always one block of rows"
        steps.append(EngineRun(engine, len(samples), targets, inputs, outputs))

    parts = tuple(
        tuple(home[i, value][1] for value in graph.plan(state).parts)
        for i, state in enumerate(states)
    )
    return Layout(tuple(states), tables, kinds, images, tuple(steps), parts)


def _gather(rows: Sequence[tuple[str, int]], tables: dict[str, int]) -> tuple[Rows, list[Copy]]:
    """One span for `rows`, with the copies into new rows of `vectors` that it takes, if any."""
    blocks: list[Rows] = []
    for table, row in rows:
        if blocks and blocks[-1].table == table and blocks[-1].stop == row:
            blocks[-1] = Rows(table, blocks[-1].start, blocks[-1].count + 1)
        else:
            blocks.append(Rows(table, row, 1))
    if len(blocks) == 1:
        return blocks[0], []
    assert all(block.table == VECTORS for block in blocks), "only vectors are ever copied"
    start = tables[VECTORS]
    tables[VECTORS] += len(rows)
    copies: list[Copy] = []
    at = start
    for block in blocks:
        copies.append(Copy(block, Rows(VECTORS, at, block.count)))
        at += block.count
    return Rows(VECTORS, start, len(rows)), copies
