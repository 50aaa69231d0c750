"""Bundles of fewer modalities: the runtime follows the graph of the bundle that it runs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from denet.graph import RGB_NIR_TIR, Graph, StateError
from runtime import Bundle, Runtime
from runtime.bundle.describe import bundle_facts, composition
from tests.runtime.bundle.damage import edit_manifest
from tests.runtime.photographs import assert_close, samples_in

GRAPHS = [Graph(("rgb", "tir")), Graph(("nir", "tir")), Graph(("nir",))]

CHANNELS = 512

Cut = Callable[[Graph], Bundle]


@pytest.fixture
def cut(bundle_path: Path, tmp_path: Path) -> Cut:
    """Makes the part of the bundle that a graph is of. Its parts of an embedding are among those
    of the whole, since no edge reads what another has enhanced."""

    def make(graph: Graph) -> Bundle:
        root = tmp_path / f"{graph.complete}.denet"
        shutil.copytree(bundle_path, root, copy_function=os.link)

        def edit(document: dict[str, Any]) -> None:
            modalities, engines = document["preprocessing"]["modalities"], document["engines"]
            document["preprocessing"]["modalities"] = {m: modalities[m] for m in graph.modalities}
            document["engines"] = {name: engines[name] for name in graph.engines}
            document["head"]["dim"] = graph.parts * CHANNELS

        edit_manifest(root, edit)
        return Bundle.open(root)

    return make


def of_whole(graph: Graph) -> Sequence[int]:
    """Where the parts of a graph are among those of three modalities."""
    order = [RGB_NIR_TIR.modalities.index(m) for m in graph.modalities]
    return [*order, *(len(RGB_NIR_TIR.modalities) + i for i in order)][: graph.parts]


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: graph.complete.name)
def test_a_bundle_of_fewer_modalities_is_embedded(cut: Cut, graph: Graph, runtime: Runtime) -> None:
    bundle = cut(graph)
    assert bundle.graph == bundle.manifest.graph == graph
    with Runtime.load(bundle, "ort-cpu", preload=True) as loaded:
        assert loaded.graph == graph
        samples = samples_in([*graph.states, *reversed(graph.states)])
        parts = loaded.parts(samples)
        assert parts.shape == (len(samples), graph.parts, CHANNELS)
        assert_close(parts, runtime.parts(samples)[:, of_whole(graph)])
        embeddings = loaded.head(parts)
        assert (
            embeddings.shape
            == (len(samples), graph.parts * CHANNELS)
            == (
                len(samples),
                loaded.dim,
            )
        )


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: graph.complete.name)
def test_what_is_shown_of_it_is_of_its_graph(cut: Cut, graph: Graph) -> None:
    facts = bundle_facts(cut(graph), graph.states)
    assert list(facts["engines"]) == list(graph.engines)
    assert list(facts["states"]) == [state.name for state in graph.states]
    assert json.loads(json.dumps(facts)) == facts
    for state in graph.states:
        shown = composition(graph, state).plain.splitlines()
        assert len(shown) == 1 + graph.parts + bool(graph.pairs)


def test_what_it_lacks_is_refused(cut: Cut) -> None:
    with Runtime.load(cut(GRAPHS[0]), "ort-cpu") as loaded:
        image = np.zeros((8, 8, 3), np.uint8)
        with pytest.raises(StateError, match="unknown modality 'nir': choose from rgb, tir"):
            loaded.embed({"rgb": image, "nir": image})
