"""Layouts of mixed batches: symbols in place of numbers show what each row would hold."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denet.graph import RGB_NIR_TIR, Graph, State
from runtime.layout import VECTORS, Copy, EngineRun, Layout, Rows, batch_order, layout, most_vectors

GRAPHS = (RGB_NIR_TIR, Graph(("rgb", "tir")), Graph(("tir", "nir")), Graph(("rgb",)))

PER_TARGET = {"base", "sum", "enhanced"}
"""Inputs and outputs of an edge with rows for each target, the targets outermost."""

Symbol = tuple[object, ...]

# A shared machine may pause in the middle of any example.
patient = settings(deadline=None)

Batch = tuple[Graph, list[State]]
"""The states of a batch, and the graph that they are of."""


def of_graph(graph: Graph) -> st.SearchStrategy[Batch]:
    states = st.lists(st.sampled_from(graph.states), min_size=1, max_size=20)
    return st.tuples(st.just(graph), states)


# Of three modalities most, since they mix most.
batches = st.one_of(*map(of_graph, (RGB_NIR_TIR, *GRAPHS)))


def laid_out(batch: Batch) -> Layout:
    graph, states = batch
    return layout(graph, [states[i] for i in batch_order(graph, states)])


def runs(found: Layout) -> list[EngineRun]:
    return [step for step in found.steps if isinstance(step, EngineRun)]


def copies(found: Layout) -> list[Copy]:
    return [step for step in found.steps if isinstance(step, Copy)]


def reads(step: Copy | EngineRun) -> list[Rows]:
    return [step.source] if isinstance(step, Copy) else list(step.inputs.values())


def writes(step: Copy | EngineRun) -> list[Rows]:
    return [step.target] if isinstance(step, Copy) else list(step.outputs.values())


def rows_of(spans: list[Rows]) -> Iterator[tuple[str, int]]:
    for span in spans:
        for row in range(span.start, span.start + span.count):
            yield span.table, row


def wants(graph: Graph, engine: str, state: State) -> bool:
    """Whether a sample in `state` needs `engine`: by docs/composition.md, not by its plan."""
    kind, _, name = engine.partition("_")
    source = name.partition("2")[0]
    anchor = next(m for m in graph.modalities if m in state.available)
    return source == anchor if kind == "cmft" else source in state.available


def symbol(engine: str, output: str, inputs: dict[str, Symbol]) -> Symbol:
    return engine, output, tuple(sorted(inputs.items()))


def run_alone(graph: Graph, state: State, sample: int) -> list[Symbol]:
    """The parts of one sample, straight from its plan."""
    values: dict[str, Symbol] = {f"image_{m}": ("image", m, sample) for m in state.available}
    for call in graph.plan(state).calls:
        for output, made in call.outputs.items():
            for k, value in enumerate(made):
                values[value] = symbol(
                    call.engine,
                    output,
                    {
                        name: values[names[k if name in PER_TARGET else 0]]
                        for name, names in call.inputs.items()
                    },
                )
    return [values[part] for part in graph.plan(state).parts]


def execute(found: Layout) -> list[list[Symbol]]:
    """The parts of each sample, from rows moved and engines run as the layout says."""
    tables: dict[str, list[Symbol | None]] = {
        name: [None] * rows for name, rows in found.tables.items()
    }
    for modality, samples in found.images.items():
        tables[f"image_{modality}"][:] = [("image", modality, i) for i in samples]

    def read(span: Rows) -> list[Symbol]:
        rows = tables[span.table][span.start : span.stop]
        held = [row for row in rows if row is not None]
        assert len(held) == span.count, "a row is read before it is written"
        return held

    for step in found.steps:
        if isinstance(step, Copy):
            tables[step.target.table][step.target.start : step.target.stop] = read(step.source)
            continue
        inputs = {name: read(span) for name, span in step.inputs.items()}
        for output, span in step.outputs.items():
            targets = step.targets if output in PER_TARGET else 1
            tables[span.table][span.start : span.stop] = [
                symbol(
                    step.engine,
                    output,
                    {
                        name: rows[(k * step.batch if name in PER_TARGET else 0) + i]
                        for name, rows in inputs.items()
                    },
                )
                for k in range(targets)
                for i in range(step.batch)
            ]
    result = [[tables[VECTORS][row] for row in rows] for rows in found.parts]
    return [[part for part in parts if part is not None] for parts in result]


def alone(graph: Graph, found: Layout) -> list[list[Symbol]]:
    """What each sample of a batch would get by itself."""
    return [run_alone(graph, state, i) for i, state in enumerate(found.states)]


@patient
@given(batches)
def test_batch_order_is_a_stable_permutation(batch: Batch) -> None:
    graph, states = batch
    order = batch_order(graph, states)
    assert sorted(order) == list(range(len(states)))
    for state in graph.states:
        mine = [i for i in order if states[i] == state]
        assert mine == sorted(mine)


@patient
@given(batches)
def test_batch_order_makes_neighbours_of_one_state_and_of_one_anchor(batch: Batch) -> None:
    graph, states = batch
    ordered = [states[i] for i in batch_order(graph, states)]
    for key in ([s.name for s in ordered], [s.anchor for s in ordered]):
        changes = 1 + sum(a != b for a, b in pairwise(key))
        assert changes == len(set(key))
    assert batch_order(graph, ordered) == list(range(len(ordered)))


@patient
@given(batches)
def test_each_engine_runs_at_most_once_over_exactly_the_samples_that_need_it(batch: Batch) -> None:
    graph, states = batch
    expected = {engine: sum(wants(graph, engine, s) for s in states) for engine in graph.engines}
    found = runs(laid_out(batch))
    assert len({run.engine for run in found}) == len(found)
    assert {run.engine: run.batch for run in found} == {e: n for e, n in expected.items() if n}


@patient
@given(batches)
def test_the_images_are_those_of_the_samples_that_have_them(batch: Batch) -> None:
    graph, _ = batch
    found = laid_out(batch)
    for m in graph.modalities:
        having = [i for i, state in enumerate(found.states) if m in state.available]
        assert list(found.images.get(m, ())) == having
        assert found.tables.get(f"image_{m}", 0) == len(having)


@patient
@given(batches)
def test_each_table_is_of_the_kind_of_its_rows(batch: Batch) -> None:
    found = laid_out(batch)
    expected = {VECTORS: "vector"}
    for m in found.images:
        expected |= {f"image_{m}": "image", f"feature_{m}": "feature"}
    assert found.kinds == expected
    assert found.kinds.keys() == found.tables.keys()


@patient
@given(batches)
def test_spans_lie_inside_their_tables_and_have_the_rows_that_their_run_needs(
    batch: Batch,
) -> None:
    found = laid_out(batch)
    for step in found.steps:
        for span in reads(step) + writes(step):
            assert span.count > 0
            assert 0 <= span.start < span.stop == span.start + span.count
            assert span.stop <= found.tables[span.table]
        if isinstance(step, Copy):
            assert step.source.count == step.target.count
        else:
            for name, span in (step.inputs | step.outputs).items():
                assert span.count == step.batch * (step.targets if name in PER_TARGET else 1)
            assert step.targets in (1, 2)


@patient
@given(batches)
def test_every_row_is_written_once_and_before_it_is_read(batch: Batch) -> None:
    found = laid_out(batch)
    written = {
        (f"image_{m}", row) for m, samples in found.images.items() for row in range(len(samples))
    }
    for step in found.steps:
        assert written.issuperset(rows_of(reads(step)))
        for row in rows_of(writes(step)):
            assert row not in written
            written.add(row)
    assert written.issuperset((VECTORS, row) for parts in found.parts for row in parts)
    # No row of any table is memory that nobody uses.
    assert written == {(table, row) for table, rows in found.tables.items() for row in range(rows)}


@patient
@given(batches)
def test_no_run_reads_what_it_writes(batch: Batch) -> None:
    for step in laid_out(batch).steps:
        assert set(rows_of(reads(step))).isdisjoint(rows_of(writes(step)))


@patient
@given(batches)
def test_only_vectors_are_copied(batch: Batch) -> None:
    for copy in copies(laid_out(batch)):
        assert (copy.source.table, copy.target.table) == (VECTORS, VECTORS)


@settings(patient, max_examples=400)
@given(batches)
def test_each_sample_gets_the_parts_that_it_would_get_alone(batch: Batch) -> None:
    graph, _ = batch
    found = laid_out(batch)
    assert execute(found) == alone(graph, found)
    assert {len(parts) for parts in found.parts} == {graph.parts}


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize(
    ("graph", "state"),
    [pytest.param(g, s, id=f"{s}_of_{g.complete}") for g in GRAPHS for s in g.states],
)
def test_a_batch_in_one_state_needs_no_copy(graph: Graph, state: State, size: int) -> None:
    assert copies(laid_out((graph, [state] * size))) == []


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: graph.complete.name)
def test_every_pair_of_states_mixes(graph: Graph) -> None:
    for one in graph.states:
        for other in graph.states:
            found = laid_out((graph, [one, other, one]))
            assert execute(found) == alone(graph, found)


def test_one_modality_runs_its_branch_alone() -> None:
    graph = Graph(("rgb",))
    found = laid_out((graph, [graph.complete] * 3))
    assert [run.engine for run in runs(found)] == ["branch_rgb"]
    assert found.parts == ((0,), (1,), (2,))
    assert most_vectors(graph) == 1


def test_spans_overlap_where_they_share_a_row_of_one_table() -> None:
    spans = [Rows(t, start, rows) for t in "ab" for start in range(4) for rows in (1, 2, 3)]
    for one in spans:
        for other in spans:
            shared = set(rows_of([one])) & set(rows_of([other]))
            assert one.overlaps(other) == bool(shared)


@patient
@given(batches)
def test_a_sample_needs_no_more_vectors_than_the_most(batch: Batch) -> None:
    graph, states = batch
    tables = laid_out(batch).tables
    assert tables.pop(VECTORS) <= most_vectors(graph) * len(states)
    assert all(rows <= len(states) for rows in tables.values())
