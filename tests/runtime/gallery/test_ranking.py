"""Search is exact: it finds what brute force finds."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from denet.graph import RGB_NIR_TIR, State
from runtime.gallery import Gallery, Scores, Space, index, open_gallery
from tests.runtime.gallery.people import (
    COMPLETE,
    SPACE,
    TIR,
    exact,
    person,
    relaxed,
    search,
    table_of,
    unit,
)

STATES = RGB_NIR_TIR.states


enrolled = st.lists(
    st.tuples(st.integers(0, 6), st.sampled_from(STATES), exact), min_size=1, max_size=40
)


curves = st.lists(st.integers(-8, 8).map(lambda n: n / 8), min_size=2, max_size=6, unique=True).map(
    sorted
)


def brute_force(
    rows: list[tuple[int, State, NDArray[np.float32]]],
    query: NDArray[np.float32],
    state: State,
    top: int,
    scores: Scores | None,
) -> list[tuple[str, float, float, int]]:
    """All entries one by one, in float64; of each identity the best."""
    found = []
    for number, (who, entry_state, vector) in enumerate(rows, 1):
        cosine = sum(float(a) * float(b) for a, b in zip(query, vector, strict=True))
        score = cosine
        if scores is not None:
            score = float(scores.score(state, entry_state, np.array([cosine], np.float32))[0])
        found.append((-score, -cosine, number, f"p{who}"))
    best: dict[str, tuple[str, float, float, int]] = {}
    for score, cosine, number, name in sorted(found):
        best.setdefault(name, (name, -score, -cosine, number))
    return list(best.values())[:top]


@pytest.fixture
def gallery(each_gallery: Gallery) -> Gallery:
    """Every kind, in place of a file alone."""
    return each_gallery


@relaxed
@given(
    rows=enrolled,
    query=exact,
    state=st.sampled_from(STATES),
    top=st.integers(1, 8),
    curves=st.none() | st.lists(curves, min_size=7, max_size=7),
    block=st.integers(1, 9),
    cuts=st.lists(st.integers(0, 40), max_size=3),
)
def test_search_is_brute_force(
    rows: list[tuple[int, State, NDArray[np.float32]]],
    query: NDArray[np.float32],
    state: State,
    top: int,
    curves: list[list[float]] | None,
    block: int,
    cuts: list[int],
    fresh: Callable[[], str],
) -> None:
    scores = None
    if curves is not None:
        scores = table_of(dict(zip(((state, s) for s in STATES), curves, strict=True)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "BLOCK", block)
        with open_gallery(fresh(), create=True, storage="float32") as gallery:
            edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
            for start, end in pairwise(edges):
                people = [person(f"p{who}", v, s) for who, s, v in rows[start:end]]
                gallery.enrol(SPACE, people)
                search(gallery, query)  # memory is brought up to date in steps
            found = search(gallery, query, state=state, top=top, scores=scores)
    expected = brute_force(rows, query, state, top, scores)
    assert [(m.identity, m.score, m.cosine, m.entry) for m in found] == expected


@relaxed
@given(rows=enrolled, gone=st.sets(st.integers(0, 6)), query=exact, block=st.integers(1, 9))
def test_what_is_removed_is_not_found(
    rows: list[tuple[int, State, NDArray[np.float32]]],
    gone: set[int],
    query: NDArray[np.float32],
    block: int,
    fresh: Callable[[], str],
) -> None:
    setting = fresh()
    there = {who for who, _, _ in rows}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "BLOCK", block)
        with (
            open_gallery(setting, create=True, storage="float32") as gallery,
            open_gallery(setting, create=True) as other,
        ):
            ids = gallery.enrol(SPACE, [person(f"p{who}", v, s) for who, s, v in rows])
            assert search(gallery, query) == search(other, query)
            for who in gone & there:
                gallery.remove(f"p{who}")
            new = gallery.enrol(SPACE, [person("new", query)])
            found, seen = search(gallery, query, top=20), search(other, query, top=20)
    kept = [(i, row) for i, row in zip(ids, rows, strict=True) if row[0] not in gone]
    # What was first among equals stays first: the new one is last, and no id is used again.
    expected = brute_force([row for _, row in kept], query, COMPLETE, 20, None)
    assert [(m.identity, m.cosine) for m in found if m.identity != "new"] == [
        (name, cosine) for name, _, cosine, _ in expected
    ]
    assert [m.entry for m in found if m.identity != "new"] == [
        kept[number - 1][0] for _, _, _, number in expected
    ]
    assert new[0] > max(ids)
    assert seen == found


def test_many_queries_are_searched_as_one_is(gallery: Gallery) -> None:
    people, queries = unit(300), unit(150, seed=1)
    gallery.enrol(SPACE, [person(f"p{i % 90}", v, STATES[i % 7]) for i, v in enumerate(people)])
    together = gallery.search(SPACE, queries, [COMPLETE] * 150, top=3)
    for query, found in zip(queries, together, strict=True):
        alone = search(gallery, query, top=3)
        assert [m.entry for m in found] == [m.entry for m in alone]
        assert [m.cosine for m in found] == pytest.approx([m.cosine for m in alone], abs=1e-6)


def test_an_identity_is_as_good_as_its_best_entry(gallery: Gallery) -> None:
    query, near, far = unit(1)[0], unit(1)[0], -unit(1)[0]
    gallery.enrol(SPACE, [person("alice", far), person("bob", unit(1, seed=3)[0])])
    gallery.enrol(SPACE, [person("alice", near, TIR)])
    first = search(gallery, query)[0]
    assert (first.identity, first.entry, first.state) == ("alice", 3, TIR)
    assert first.cosine == pytest.approx(1, abs=1e-6)


def test_hundreds_of_entries_of_one_identity_do_not_hide_the_next(gallery: Gallery) -> None:
    vectors = unit(400, seed=2)
    query = vectors[0]
    order = np.argsort(-(vectors @ query))
    names = np.full(400, "many", dtype=object)
    names[order[390:]] = [f"p{i}" for i in range(10)]
    gallery.enrol(SPACE, [person(n, v) for n, v in zip(names, vectors, strict=True)])
    assert [m.identity for m in search(gallery, query, top=4)] == ["many", "p0", "p1", "p2"]


def test_an_empty_gallery_finds_nobody(gallery: Gallery) -> None:
    assert search(gallery, unit(1)[0]) == []
    assert gallery.entries() == []
    assert gallery.enrol(SPACE, []) == []


@pytest.mark.slow
def test_a_hundred_thousand_are_searched_exactly(path: Path) -> None:
    space = Space(512, "a" * 64, "")
    people = unit(100_000, 512)
    queries = unit(20, 512, seed=1)
    with open_gallery(str(path), create=True, storage="float32") as gallery:
        for start in range(0, len(people), 10_000):
            gallery.enrol(
                space,
                [
                    person(f"p{i // 2}", people[i], STATES[i % 7])
                    for i in range(start, start + 10_000)
                ],
            )
        for query in queries:
            found = gallery.search(space, query[None], [COMPLETE], top=10)[0]
            truth = people.astype(np.float64) @ query.astype(np.float64)
            best = np.sort(truth.reshape(-1, 2).max(axis=1))[::-1][:10]
            assert [m.cosine for m in found] == pytest.approx(best, abs=1e-6)
            assert all(truth[m.entry - 1] == pytest.approx(m.cosine, abs=1e-6) for m in found)
