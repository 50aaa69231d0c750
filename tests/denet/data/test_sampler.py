"""Batches of P identities with K samples each."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denet.data.records import DataError
from denet.data.sampler import Draw, IdentitySampler


def batches(sampler: IdentitySampler, epoch: int) -> list[list[Draw]]:
    sampler.set_epoch(epoch)
    return list(sampler)


@st.composite
def samplers(draw: st.DrawFn) -> tuple[list[int], int, int, int]:
    counts = draw(st.lists(st.integers(1, 9), min_size=1, max_size=8))
    labels = draw(st.permutations([label for label, n in enumerate(counts) for _ in range(n)]))
    return labels, draw(st.integers(1, len(counts))), draw(st.integers(1, 6)), draw(st.integers())


@settings(deadline=None, max_examples=200)
@given(samplers(), st.integers(0, 100))
def test_batches_have_p_identities_with_k_samples_evenly(
    given_: tuple[list[int], int, int, int], epoch: int
) -> None:
    labels, p, k, seed = given_
    sampler = IdentitySampler(labels, p, k, seed)
    found = batches(sampler, epoch)
    assert len(found) == len(sampler)
    sizes = Counter(labels)
    visits, uses = Counter[int](), Counter[int]()
    for batch in found:
        drawn = Counter(labels[draw.sample] for draw in batch)
        assert len(drawn) == p
        assert set(drawn.values()) == {k}
        repeats = Counter(draw.sample for draw in batch)
        for sample, times in repeats.items():
            most = -(-k // sizes[labels[sample]])  # 1 where the identity has K samples
            assert most - 1 <= times <= most
        visits.update(drawn.keys())
        uses.update(repeats)
    assert set(visits) == set(labels)
    assert max(visits.values()) - min(visits.values()) <= 1
    for label in sizes:
        used = [uses[i] for i, other in enumerate(labels) if other == label]
        assert max(used) - min(used) <= 1
    # As many samples as there are, rounded up to whole batches, unless an identity needs more.
    assert len(found) == max(-(-len(labels) // (p * k)), -(-len(sizes) // p))
    draws = [draw for batch in found for draw in batch]
    assert [draw.place for draw in draws] == list(range(len(draws)))
    assert {draw.epoch for draw in draws} == {epoch}


LABELS = [i % 7 for i in range(50)]


def test_the_order_is_a_pure_function_of_seed_and_epoch() -> None:
    whole = IdentitySampler(LABELS, 2, 4, seed=5)
    run = [batches(whole, epoch) for epoch in range(4)]
    resumed = IdentitySampler(LABELS, 2, 4, seed=5)
    assert batches(resumed, 3) == run[3]
    assert batches(resumed, 3) == run[3]
    orders = [[draw.sample for batch in epoch for draw in batch] for epoch in run]
    orders.append([d.sample for b in batches(IdentitySampler(LABELS, 2, 4, 6), 0) for d in b])
    assert len({tuple(order) for order in orders}) == 5


def test_no_identity_is_preferred_over_many_epochs() -> None:
    sampler = IdentitySampler(LABELS, 2, 4, seed=0)
    firsts = Counter(LABELS[batches(sampler, epoch)[0][0].sample] for epoch in range(700))
    assert min(firsts.values()) > 60
    assert max(firsts.values()) < 145


def test_batches_that_cannot_be_made_are_refused() -> None:
    with pytest.raises(DataError, match=r"takes 8 identities, the training data have 7"):
        IdentitySampler(LABELS, 8, 4, seed=0)
    for p, k in ((0, 4), (2, 0)):
        with pytest.raises(DataError, match=f"not {p} x {k}"):
            IdentitySampler(LABELS, p, k, seed=0)
