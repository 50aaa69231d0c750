"""The whole network against the paper's formulas, in every state."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Mapping
from typing import get_args

import pytest
import torch
from torch import Tensor

from denet.cmft import to_image
from denet.graph import RGB_NIR_TIR, Composition, Graph, Modality, State
from denet.initialize import initial_model
from denet.model import DENet
from tests.conftest import LIGHT, SMALL
from tests.denet.graphs import states_of
from tests.denet.naive import assert_same, batch_norm, gap, naive_cmft, naive_parts
from tests.denet.networks import config_of, randomized, variant

GRAPHS = (RGB_NIR_TIR, Graph(("rgb", "tir")), Graph(("tir", "rgb")), Graph(("nir",)))
every_graph = pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: graph.complete.name)
every_state = pytest.mark.parametrize(
    ("graph", "state"), [each for graph in GRAPHS for each in states_of(graph)]
)


@functools.cache
def composed(graph: Graph, kind: Composition) -> DENet:
    """A network of a composition, made once for all states."""
    torch.manual_seed(3)
    return randomized(DENet(config_of(graph, LIGHT, composition=kind)))


@functools.cache
def bare(graph: Graph) -> DENet:
    """A network without norms on its edges, and without places in its CMFTs."""
    torch.manual_seed(4)
    return randomized(DENet(config_of(graph, LIGHT, edge_norm=False, placed=False)))


@pytest.fixture
def graph() -> Graph:
    return RGB_NIR_TIR


@pytest.fixture(scope="module")
def networks(model: DENet) -> dict[Graph, DENet]:
    made = {g: initial_model(config_of(g, SMALL), seed=0, pretrained=False) for g in GRAPHS[1:]}
    return {g: copy.deepcopy(m).double() for g, m in ({RGB_NIR_TIR: model} | made).items()}


@pytest.fixture
def precise(networks: dict[Graph, DENet], graph: Graph) -> DENet:
    return networks[graph]


@pytest.fixture(scope="module")
def images() -> dict[Modality, Tensor]:
    generator = torch.Generator().manual_seed(7)
    return {
        m: torch.randn(3, 3, *SMALL.image_size, generator=generator, dtype=torch.float64)
        for m in RGB_NIR_TIR.modalities
    }


def available(images: Mapping[Modality, Tensor], state: State) -> dict[Modality, Tensor]:
    return {m: images[m] for m in state.available}


@every_state
@torch.no_grad()
def test_parts_are_the_paper_s_on_full_maps(
    precise: DENet, images: dict[Modality, Tensor], state: State
) -> None:
    mine = available(images, state)
    output = precise(mine, state)
    expected = naive_parts(precise, mine, state)
    assert_same(output.parts, expected)
    for i, part in enumerate(expected):  # each at its own scale, not at that of the largest
        assert_same(output.parts[i], part)


@every_state
@pytest.mark.parametrize("kind", [k for k in get_args(Composition) if k != "dynamic"])
@torch.no_grad()
def test_the_other_compositions_are_what_they_are_said_to_be(
    images: dict[Modality, Tensor], graph: Graph, state: State, kind: Composition
) -> None:
    model, mine = composed(graph, kind), available(images, state)
    assert_same(model(mine, state).parts, naive_parts(model, mine, state, kind))


@every_state
@torch.no_grad()
def test_without_norms_and_places_it_is_the_paper_s_all_the_more(
    images: dict[Modality, Tensor], graph: Graph, state: State
) -> None:
    model = bare(graph)
    left = (".down.norm.", ".down.real.", ".down.gain")
    names = list(model.state_dict())
    assert not [n for n in names if any(part in n for part in left)]
    assert not [n for n in names if n.startswith("engines.dem") and ".norm." in n]
    mine = available(images, state)
    assert_same(model(mine, state).parts, naive_parts(model, mine, state))


@every_state
@torch.no_grad()
def test_missing_modalities_are_never_looked_at(
    precise: DENet, images: dict[Modality, Tensor], state: State
) -> None:
    mine = available(images, state)
    junk = {m: torch.full((1, 1), math.nan) for m in precise.graph.missing(state)}
    assert torch.equal(precise(mine | junk, state).parts, precise(mine, state).parts)
    for m in state.available:
        with pytest.raises(KeyError, match=m):
            precise({k: v for k, v in mine.items() if k != m}, state)


@every_state
@torch.no_grad()
def test_each_sample_of_a_batch_is_computed_by_itself(
    precise: DENet, images: dict[Modality, Tensor], state: State
) -> None:
    mine = available(images, state)
    alone = [precise({m: x[i : i + 1] for m, x in mine.items()}, state) for i in range(3)]
    together = precise(mine, state)
    assert_same(together.parts, torch.cat([one.parts for one in alone], dim=1))
    assert_same(together.embedding, torch.cat([one.embedding for one in alone]))


@every_state
@torch.no_grad()
def test_the_output_holds_what_ran(
    precise: DENet, images: dict[Modality, Tensor], state: State
) -> None:
    output = precise(available(images, state), state)
    assert set(output.branches) == set(state.available)
    others = {t for t in precise.graph.modalities if t != state.anchor}
    assert set(output.recovered) == {(state.anchor, t) for t in others}
    for m, branch in output.branches.items():
        assert_same(branch.feature, precise.engines[f"branch_{m}"](images[m]).feature)
    for (a, t), recovered in output.recovered.items():
        feature, image = naive_cmft(precise.engines[f"cmft_{a}2{t}"], output.branches[a].feature)
        assert_same(recovered.pooled, gap(feature))
        assert_same(to_image(recovered.grid), image)
        assert image.shape == images[a].shape


@every_state
@torch.no_grad()
def test_the_embedding_is_the_parts_side_by_side_with_length_one(
    precise: DENet, images: dict[Modality, Tensor], state: State
) -> None:
    output = precise(available(images, state), state)
    joined = torch.cat([output.parts[i] for i in range(precise.graph.parts)], dim=1)
    assert_same(output.embedding, joined / joined.square().sum(dim=1, keepdim=True).sqrt())
    assert output.embedding.shape == (3, precise.dim)


@every_graph
def test_a_network_has_the_engines_of_its_graph(graph: Graph) -> None:
    with torch.device("meta"):
        models = {
            kind: DENet(config_of(graph, SMALL, composition=kind)) for kind in get_args(Composition)
        }
    for kind in ("dynamic", "uncut", "transposed"):
        assert set(models[kind].engines) == set(graph.engines)
    first, *rest = graph.modalities
    cycle = zip(graph.modalities, (*rest, first), strict=True)
    edges = {
        "fixed": {f"dem_{first}2{t}" for t in rest},
        "single": {f"dem_{s}2{t}" for s, t in cycle if s != t},
        "ordered": {f"dem_{s}2{t}" for i, s in enumerate(graph.modalities) for t in rest[i:]},
    }
    for kind, own in edges.items():
        assert {e for e in models[kind].engines if e.startswith("dem")} == own
    branches = {f"branch_{m}" for m in graph.modalities}
    recovery = {f"cmft_{s}2{t}" for s in graph.modalities for t in graph.modalities if s != t}
    assert set(models["none"].engines) == branches | recovery
    assert set(models["concat"].engines) == branches
    assert {kind for kind, model in models.items() if model.recovers} == (
        set(get_args(Composition)) - {"concat"} if len(graph.modalities) > 1 else set()
    )


@every_graph
@pytest.mark.parametrize("kind", get_args(Composition))
@torch.no_grad()
def test_what_a_batch_has_made_composes_every_state(
    images: dict[Modality, Tensor], graph: Graph, kind: Composition
) -> None:
    model = composed(graph, kind)
    output = model(available(images, graph.complete), graph.complete)
    recovered = model.recover_all(output)
    assert set(recovered) == (set(graph.pairs) if model.recovers else set())
    states = model.compose_states(output, recovered)
    assert list(states) == sorted(
        graph.states, key=lambda state: graph.modalities.index(state.anchor)
    )
    for state, parts in states.items():
        mine = naive_parts(model, available(images, state), state, kind)
        assert_same(parts, mine[: len(graph.modalities)])


@every_graph
def test_the_anchor_s_parts_weigh_as_configured(graph: Graph) -> None:
    with torch.device("meta"):
        size = DENet(config_of(graph, LIGHT)).channels
    halved = DENet(config_of(graph, LIGHT, anchor_weight=0.5))
    half = len(graph.modalities) * size
    anchor = half if graph.pairs else 0  # c({anchor}) is c(S) where there is one modality
    assert halved.part_scale().tolist() == [1.0] * half + [0.5] * anchor


@torch.no_grad()
def test_the_neck_normalizes_before_the_length_is_taken(
    precise: DENet, images: dict[Modality, Tensor]
) -> None:
    behind = variant(precise, neck="after")
    behind.neck = randomized(copy.deepcopy(precise.neck))
    state = RGB_NIR_TIR.parse("rgb+tir")
    output = behind(available(images, state), state)
    joined = batch_norm(behind.neck, torch.cat(list(output.parts), dim=1))
    assert_same(output.embedding, joined / joined.square().sum(dim=1, keepdim=True).sqrt())
    unnormalized = precise(available(images, state), state)
    assert torch.equal(output.parts, unnormalized.parts)
    assert not torch.allclose(output.embedding, unnormalized.embedding)


@torch.no_grad()
def test_the_mean_of_the_training_samples_is_taken_off(
    precise: DENet, images: dict[Modality, Tensor]
) -> None:
    centred = variant(precise, neck="centred")
    centred.neck = randomized(copy.deepcopy(precise.neck))
    state = RGB_NIR_TIR.parse("rgb+tir")
    output = centred(available(images, state), state)
    mean = centred.neck.running_mean
    assert mean is not None
    off = torch.cat(list(output.parts), dim=1) - mean
    assert_same(output.embedding, off / off.square().sum(dim=1, keepdim=True).sqrt())
