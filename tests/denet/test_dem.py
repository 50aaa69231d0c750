"""An edge of the DEM against the paper's formula."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from denet.dem import DEMEdge, TransposedEdge
from tests.denet.naive import assert_same, gap, naive_edge, random_tensor, seeds
from tests.denet.networks import randomized


@settings(max_examples=60, deadline=None)
@given(
    seed=seeds,
    channels=st.integers(1, 24),
    width=st.integers(1, 12),
    size=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    batch=st.integers(1, 4),
    targets=st.sampled_from([1, 2]),
    norm=st.booleans(),
)
def test_an_edge_is_the_paper_s_on_full_maps(
    seed: int,
    channels: int,
    width: int,
    size: tuple[int, int],
    batch: int,
    targets: int,
    norm: bool,
) -> None:
    torch.manual_seed(seed)
    edge = randomized(DEMEdge(channels, width, norm=norm))
    source = random_tensor(batch, channels, *size)
    maps = [random_tensor(batch, channels, *size) for _ in range(targets)]
    before = random_tensor(targets, batch, channels)
    with torch.no_grad():
        enhanced = edge(source, torch.stack([gap(m) for m in maps]), before).enhanced
        folded = edge.folded()(source, torch.stack([gap(m) for m in maps]), before).enhanced
        added = torch.stack([gap(naive_edge(edge, source, m)) for m in maps])
    assert_same(enhanced, before + added)
    assert_same(folded, enhanced)


@settings(max_examples=30, deadline=None)
@given(
    seed=seeds,
    channels=st.integers(1, 24),
    width=st.integers(1, 12),
    size=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    batch=st.integers(1, 4),
    targets=st.sampled_from([1, 2]),
    norm=st.booleans(),
)
def test_the_other_reading_collapses_onto_the_source(
    seed: int,
    channels: int,
    width: int,
    size: tuple[int, int],
    batch: int,
    targets: int,
    norm: bool,
) -> None:
    torch.manual_seed(seed)
    edge = randomized(TransposedEdge(channels, width, norm=norm))
    source = random_tensor(batch, channels, *size)
    maps = [random_tensor(batch, channels, *size) for _ in range(targets)]
    before = random_tensor(targets, batch, channels)
    with torch.no_grad():
        enhanced = edge(source, torch.stack(maps), before).enhanced
        added = torch.stack([gap(naive_edge(edge, source, m)) for m in maps])
    assert_same(enhanced, before + added)


def test_the_two_readings_are_different_functions() -> None:
    """With the same weights, at the sizes of a ResNet-50, on maps as a ReLU leaves them: what one
    reading adds says nothing of what the other does."""
    torch.manual_seed(0)
    edge = DEMEdge(2048, 256, norm=False).double().eval()
    other = TransposedEdge(2048, 256, norm=False).double().eval()
    other.load_state_dict(edge.state_dict())
    source, target = (random_tensor(4, 2048, 16, 8).relu() for _ in range(2))
    nothing = torch.zeros(1, 4, 2048, dtype=torch.float64)
    with torch.no_grad():
        one = edge(source, gap(target)[None], nothing).enhanced[0] - edge.out.bias
        two = other(source, target[None], nothing).enhanced[0] - edge.out.bias
    assert (torch.cosine_similarity(one, two).abs() < 0.4).all()


def test_a_silent_edge_adds_nothing() -> None:
    for norm in (True, False):
        edge = DEMEdge(6, 3, norm=norm).double().eval()
        edge.silence()
        before = random_tensor(2, 2, 6)
        assert torch.equal(edge(random_tensor(2, 6, 3, 2), before, before).enhanced, before)


def test_an_edge_leaves_its_inputs_as_they_were() -> None:
    edge = DEMEdge(6, 3).double().eval()
    inputs = random_tensor(2, 6, 3, 2), random_tensor(2, 2, 6), random_tensor(2, 2, 6)
    kept = [t.clone() for t in inputs]
    edge(*inputs)
    assert all(torch.equal(a, b) for a, b in zip(inputs, kept, strict=True))
