"""Evaluation of sets whose samples lack modalities, against a loop over every pair of samples."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from denet.data.records import DataError, ImageRef, Record
from denet.evaluate import Split, evaluate_own, evaluate_rates, evaluate_states, state_matrix
from denet.graph import RGB_NIR_TIR, Graph, State

STATES = RGB_NIR_TIR.states
RGB, NIR, TIR = (RGB_NIR_TIR.parse(m) for m in ("rgb", "nir", "tir"))


def record(name: str, identity: int, camera: int, state: State) -> Record:
    return Record(
        name, identity, camera, {m: ImageRef(Path(f"{name}_{m}")) for m in state.available}
    )


def embed(records: Sequence[Record], states: Sequence[State]) -> NDArray[np.float32]:
    """Of a sample in a state always the same vector, and of each another; of one that it has."""
    rows = []
    for sample, state in zip(records, states, strict=True):
        sample.within(state)  # a DataError if it cannot be in it
        seed = hashlib.sha256(f"{sample.name} {state}".encode()).digest()[:8]
        vector = np.random.default_rng(int.from_bytes(seed, "big")).normal(size=8)
        rows.append(vector / np.linalg.norm(vector))
    return np.array(rows, np.float32).reshape(-1, 8)


In = Callable[[Record], State | None]


def precision(split: Split, query_in: In, gallery_in: In) -> float:
    """mAP in per cent, query by query and item by item, of those that can be in their state."""
    found = []
    for query in split.query:
        state = query_in(query)
        if state is None:
            continue
        ranked = []
        for place, item in enumerate(split.gallery):
            other = gallery_in(item)
            same = item.identity == query.identity
            if other is None or (same and item.camera == query.camera):
                continue
            cosine = float(embed([query], [state])[0] @ embed([item], [other])[0])
            ranked.append((-cosine, place, same))
        right = [same for _, _, same in sorted(ranked)]
        hits = [sum(right[: i + 1]) / (i + 1) for i, same in enumerate(right) if same]
        if hits:
            found.append(sum(hits) / len(hits))
    return 100 * sum(found) / len(found) if found else math.nan


def only(state: State) -> In:
    return lambda sample: state if set(state.available) <= set(sample.images) else None


def own(sample: Record) -> State:
    return RGB_NIR_TIR.state(sample.images)


samples = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 2), st.sampled_from(STATES)),
    min_size=1,
    max_size=9,
)


def split_of(query: list[tuple[int, int, State]], gallery: list[tuple[int, int, State]]) -> Split:
    sides = (
        tuple(record(f"{side}{i}", *each) for i, each in enumerate(rows))
        for side, rows in (("q", query), ("g", gallery))
    )
    return Split(*sides)


@settings(max_examples=40, deadline=None)
@given(samples, samples)
def test_every_state_is_measured_on_the_samples_that_can_be_in_it(
    query: list[tuple[int, int, State]], gallery: list[tuple[int, int, State]]
) -> None:
    split = split_of(query, gallery)
    expected = {(q, g): precision(split, only(q), only(g)) for q in STATES for g in STATES}
    matrix = state_matrix(embed, split)
    assert set(matrix) == {pair for pair, value in expected.items() if not math.isnan(value)}
    for pair, ranking in matrix.items():
        assert ranking.map == pytest.approx(expected[pair], abs=1e-3)
    states = evaluate_states(embed, split)
    assert {state: r.map for state, r in states.items()} == {
        q: r.map for (q, g), r in matrix.items() if q == g
    }
    alone = evaluate_own(embed, split).map
    assert alone == pytest.approx(precision(split, own, own), abs=1e-3, nan_ok=True)


@settings(max_examples=20, deadline=None)
@given(samples, st.floats(0, 1), st.integers(0, 9))
def test_a_missing_rate_takes_of_what_is_there_and_leaves_something(
    rows: list[tuple[int, int, State]], rate: float, seed: int
) -> None:
    split = split_of(rows, rows)
    asked: list[tuple[Record, State]] = []

    def noting(records: Sequence[Record], states: Sequence[State]) -> NDArray[np.float32]:
        asked.extend(zip(records, states, strict=True))
        return embed(records, states)  # which refuses what a sample has not

    found = evaluate_rates(noting, split, [0.0, rate], seed)
    untouched = asked[: 2 * len(rows)]
    assert all(state == own(sample) for sample, state in untouched)
    assert found[0.0].map == pytest.approx(evaluate_own(embed, split).map, nan_ok=True)
    lost = sum(state != own(sample) for sample, state in asked[2 * len(rows) :][: len(rows)])
    assert lost <= round(rate * len(rows))


def test_queries_of_one_sensor_are_searched_in_a_gallery_of_another() -> None:
    people = range(3)
    split = Split(
        tuple(record(f"v{i}", i, 0, RGB) for i in people),
        tuple(record(f"t{i}", i, 1, TIR) for i in people),
    ).seen_by(RGB_NIR_TIR)
    assert split.graph == Graph(("rgb", "tir"))
    assert split.supported == ()
    assert evaluate_states(embed, split) == {}
    assert set(state_matrix(embed, split)) == {(RGB, TIR)}
    assert evaluate_own(embed, split).map == pytest.approx(precision(split, own, own), abs=1e-3)
    assert split.left_out(RGB_NIR_TIR).split("; ") == [
        "states with nir are left out: 6 of 6 samples have no nir",
        "rgb+tir, rgb, tir are left out: no query that can be in such a state has a match that can",
    ]
    with pytest.raises(DataError, match="no gallery item has rgb, which the model takes"):
        split.seen_by(Graph(("rgb",)))
    with pytest.raises(DataError, match="no query has a match in state rgb"):
        evaluate_states(embed, split, [RGB])


def test_what_is_left_out_and_what_is_of_a_part_is_told() -> None:
    full, some = RGB_NIR_TIR.complete, RGB_NIR_TIR.parse("rgb+tir")
    whole = tuple(record(f"{i}{c}", i, c, full) for i in range(2) for c in range(2))
    assert Split(whole, whole).left_out(RGB_NIR_TIR) == ""
    assert not Split(whole, whole).has_gaps
    rows = (*whole, *(record(f"5{c}", 5, c, some) for c in range(2)), record("60", 6, 0, NIR))
    split = Split(rows, rows)
    assert split.has_gaps
    assert split.supported == STATES
    assert split.left_out(RGB_NIR_TIR) == (
        "of the samples that can be in a state: rgb+nir+tir 4 of 7, rgb+nir 4 of 7, rgb+tir 6 of "
        "7, nir+tir 4 of 7, rgb 6 of 7, nir 5 of 7, tir 6 of 7"
    )
    # A model that takes nothing of a sample does not see it.
    two = split.seen_by(Graph(("rgb", "tir")))
    assert len(two.query) == len(two.gallery) == 6
    assert two.left_out(Graph(("rgb", "tir"))) == ""
    assert split.left_out(Graph(("rgb", "tir"))) == (
        "of the samples that can be in a state: rgb+tir 6 of 7, rgb 6 of 7, tir 6 of 7"
    )
