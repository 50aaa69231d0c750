"""Who is joined with whom, against libraries and all answers tried."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("psycopg", reason="needs psycopg: pip install '.[central]'")
pytest.importorskip("scipy")

from scipy.cluster.hierarchy import average, fcluster
from scipy.spatial.distance import squareform

from runtime.fleet.identities.assigning import assign_tracks
from runtime.fleet.identities.clustering import cluster, worth
from runtime.fleet.identities.evidence import Evidence
from runtime.fleet.identities.naming import keep_names
from tests.runtime.fleet.people import kept

FREE = -1


def evidence(looks: NDArray[np.float64], ways: float | NDArray[np.float64] = 0.0) -> Evidence:
    looks = (looks + looks.T) / 2
    apart = np.eye(len(looks), dtype=bool)
    return Evidence(looks, np.ones_like(looks), np.broadcast_to(ways, looks.shape).copy(), apart)


def drawn(seed: int, count: int = 12) -> Evidence:
    random = np.random.default_rng(seed)
    found = evidence(random.normal(-0.3, 1.0, (count, count)))
    ways = random.normal(0, 0.5, (count, count))
    apart = random.random((count, count)) < 0.15
    return Evidence(found.looks, found.weights, (ways + ways.T) / 2, found.apart | apart | apart.T)


def same(one: NDArray[np.int64], other: NDArray[np.int64]) -> bool:
    """Whether two answers put the same together."""
    return bool(np.all((one[:, None] == one) == (other[:, None] == other)))


def partitions(count: int) -> Iterator[tuple[int, ...]]:
    """All ways to put `count` together, each once: a new label is one more than those before it."""
    if count == 0:
        yield ()
    for begun in partitions(count - 1) if count else ():
        for label in range(max(begun, default=-1) + 2):
            yield (*begun, label)


@pytest.mark.parametrize("seed", range(10))
def test_it_is_average_linkage(seed: int) -> None:
    """Of scipy, where nothing is forbidden and all ways are as likely: cut where evidence ends."""
    random = np.random.default_rng(seed)
    found = evidence(random.normal(0.0, 1.0, (20, 20)))
    far = 10 - found.looks
    np.fill_diagonal(far, 0.0)
    expected = fcluster(average(squareform(far)), 10.0, criterion="distance")
    assert same(cluster(found, np.full(20, FREE)), expected)


@pytest.mark.parametrize("seed", range(20))
def test_nobody_is_in_two_places_and_what_is_settled_stays(seed: int) -> None:
    found = drawn(seed)
    random = np.random.default_rng(seed)
    settled = np.where(random.random(12) < 0.5, random.integers(0, 3, 12), FREE)
    labels = cluster(found, settled)
    free = settled == FREE
    for i in range(12):
        for j in range(12):
            both_settled = not free[i] and not free[j]
            if both_settled:
                assert (labels[i] == labels[j]) == (settled[i] == settled[j])
            elif i != j and found.apart[i, j] and free[i] and free[j]:
                assert labels[i] != labels[j]


@pytest.mark.parametrize("seed", range(10))
def test_it_is_close_to_the_best_of_all_answers(seed: int) -> None:
    """Of six tracks, by what `worth` counts: never better, and better than everybody alone."""
    found = drawn(seed, 6)
    best = max(worth(found, np.array(labels)) for labels in partitions(6))
    reached = worth(found, cluster(found, np.full(6, FREE)))
    assert 0 <= reached <= best + 1e-9
    assert reached >= 0.5 * best


def test_all_partitions_are_tried() -> None:
    assert [len(set(partitions(n))) for n in range(7)] == [1, 1, 2, 5, 15, 52, 203]  # Bell's


def test_worth_by_hand() -> None:
    """Three tracks in a line: two pairs go by the ways from each to the next, not the third."""
    ways = np.array([[0, -0.5, -9], [-0.5, 0, -0.25], [-9, -0.25, 0]])
    looks = np.array([[0, 1.0, 2.0], [1.0, 0, 3.0], [2.0, 3.0, 0]])
    found = evidence(looks, ways)
    assert worth(found, np.zeros(3, np.int64)) == pytest.approx(2 * 2.0 - 0.75)
    assert worth(found, np.arange(3)) == 0
    apart = Evidence(found.looks, found.weights, found.ways, np.ones((3, 3), bool))
    assert worth(apart, np.zeros(3, np.int64)) == -np.inf


@pytest.mark.parametrize("seed", range(30))
def test_tracks_compete_and_the_best_of_all_wins(seed: int) -> None:
    """Three that come at once, four identities: as the best of all ways to assign them."""
    random = np.random.default_rng(seed)
    owners = np.array([0, 0, 1, 2, 3, 3, FREE, FREE, FREE])
    rows = [6, 7, 8]
    looks = random.normal(0.2, 1.0, (3, 9))
    weights, ways = random.uniform(0.5, 2, (3, 9)), random.normal(0, 0.5, (3, 9))
    apart = random.random((3, 9)) < 0.1
    apart[:, 6:] = True
    tracks = [kept(f"c/{n}", float(n), n + 1.0) for n in range(9)]
    now = assign_tracks(tracks, rows, Evidence(looks, weights, ways, apart), owners)

    def gain(row: int, identity: int) -> float:
        mine = np.flatnonzero(owners == identity)
        if apart[row, mine].any():
            return -np.inf
        return float(looks[row, mine].sum() / weights[row, mine].sum() + ways[row, mine].max())

    def total(choice: tuple[int, ...]) -> float:
        return sum(gain(row, c) for row, c in enumerate(choice) if c < 4)

    best = max(permutations([*range(4), 4, 5, 6], 3), key=total)
    reached = tuple(int(now[row]) if now[row] < 4 else 4 + row for row in rows)
    assert total(reached) == pytest.approx(total(best))
    new = [int(now[row]) for row in rows if now[row] >= 4]
    assert len(set(new)) == len(new)
    np.testing.assert_array_equal(now[:6], owners[:6])


def test_an_id_stays_with_most_of_its_tracks() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2])
    names = keep_names(labels, ["a", "a", "b", "a", "b", None], {})
    assert names[:3] == ["a"] * 3
    assert names[3:5] == ["b"] * 2
    assert names[5].startswith("identity-")
    # What is settled keeps it, however few it is.
    names = keep_names(labels, ["a", "a", "b", "a", "b", None], {1: "a"})
    assert names[:5] == ["b", "b", "b", "a", "a"]
