"""Models of two modalities and of one, from the set to the gallery, by the command line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import cli
from denet.checkpoint import load_checkpoint
from denet.data.records import open_data
from denet.graph import Graph
from denet.options import RuntimeOptions
from denet.run import BEST, LOG
from denet.subject import checkpoint_subject
from denet.testset import all_samples, open_split
from export.tensorrt.build import build_engines
from runtime import Bundle
from runtime.backends.tensorrt.machine import BuildOptions
from runtime.node.settings import convert
from tests.command import denet, refused, tiny_recipe
from tests.paths import SAMPLES
from tests.runtime.node.parts import balanced, events, run

IMAGE = next(iter(sorted((SAMPLES / "NI").iterdir())))


@dataclass(frozen=True)
class Made:
    """A model that was trained for an epoch, and its bundle."""

    graph: Graph
    checkpoint: Path
    bundle: Path


@pytest.fixture(scope="module", params=["rgb,tir", "rgb"])
def made(
    request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Made:
    folder = tmp_path_factory.mktemp("sensors")
    recipe = folder / "tiny.toml"
    recipe.write_text(
        tiny_recipe(epochs=1, graph_epochs=1, identities=6, states=1.0, pretrained=False, workers=0)
    )
    # The set has three modalities: those that the model has not are left aside.
    trained = denet("train", data, "--out", folder / "run", "--preset", "small", "--config", recipe,
                    "--modalities", request.param)  # fmt: skip
    assert trained.exit_code == 0, trained.output
    checkpoint, bundle = folder / "run" / BEST, folder / "model.denet"
    exported = denet("export", checkpoint, "--out", bundle)
    assert exported.exit_code == 0, exported.output
    return Made(Graph(tuple(request.param.split(","))), checkpoint, bundle)


def test_the_bundle_embeds_as_the_network_in_every_state(made: Made, data: Path) -> None:
    assert load_checkpoint(made.checkpoint).graph == made.graph
    network = checkpoint_subject(made.checkpoint)
    engines = cli.opened(made.bundle, RuntimeOptions(backend="ort-cpu"), 8, 0)
    assert engines.graph == made.graph
    records = all_samples(open_split(open_data(data)))[:6]
    for state in made.graph.states:
        expected = network.embed(records, [state] * len(records))
        found = engines.embed(records, [state] * len(records))
        assert found.shape == expected.shape
        assert np.abs(np.linalg.norm(found, axis=1) - 1).max() < 1e-5
        assert (found * expected).sum(axis=1).min() > 0.99999


def test_a_graph_has_a_phase_where_there_is_one(made: Made) -> None:
    epochs = (made.checkpoint.parent / LOG).read_text().splitlines()[1:]
    assert len(epochs) == (2 if made.graph.pairs else 1)


def test_it_has_the_engines_and_parts_of_its_graph(made: Made) -> None:
    manifest = Bundle.open(made.bundle).manifest
    kinds = [name.partition("_")[0] for name in manifest.engines]
    expected = (
        {"branch": 2, "cmft": 2, "dem": 2} if len(made.graph.modalities) == 2 else {"branch": 1}
    )
    assert {kind: kinds.count(kind) for kind in kinds} == expected
    # What one modality gives is in the embedding once; of two there are two halves of two parts.
    assert manifest.head.dim == manifest.channels * (4 if len(made.graph.modalities) == 2 else 1)


def test_it_is_evaluated_and_reported_in_its_states(made: Made, data: Path, tmp_path: Path) -> None:
    names = [state.name for state in made.graph.states]
    facts = json.loads(denet("eval", made.bundle, data, "--backend", "ort-cpu", "--json").stdout)
    assert list(facts["states"]) == names
    page = tmp_path / "report.html"
    result = denet("report", data, made.checkpoint, "--out", page, "--workers", 0)
    assert result.exit_code == 0, result.output
    assert all(name in page.read_text() for name in names)


def test_it_knows_people_again(made: Made, data: Path, tmp_path: Path) -> None:
    gallery = tmp_path / "gallery.db"
    enrolled = denet("gallery", "enrol", gallery, SAMPLES, "--bundle", made.bundle)
    assert enrolled.exit_code == 0, enrolled.output
    found = denet("gallery", "search", gallery, SAMPLES, "--bundle", made.bundle)
    assert found.exit_code == 0, found.output


def test_a_node_follows_people_with_it(made: Made, data: Path, tmp_path: Path) -> None:
    lines = tmp_path / "events.jsonl"
    source = {"url": f"folder:{data / 'test'}", "rate": 50.0}
    settings = convert(
        {
            "name": "a",
            "model": {"bundle": str(made.bundle), "backend": "ort-cpu"},
            "sources": {m: dict(source) for m in made.graph.modalities},
            "tracks": {"every": 0.1},
            "events": {"lines": {"path": str(lines)}},
        }
    )
    facts, _said = run(settings, persons=lambda _frames, _time: [(4.0, 4.0, 28.0, 60.0)])
    balanced(facts)
    told = [e["track"] for e in events(lines) if e["kind"] == "track"]
    ended = [track for track in told if track["change"] == "ended"]
    assert ended
    names = {state.name for state in made.graph.states}
    for track in ended:
        assert set(track["states"]) <= names
        assert {pooled["state"] for pooled in track["pooled"]} <= set(track["states"])
    assert sum(track["embedded"] for track in ended) == facts.crops.left > 0


def test_images_of_other_modalities_are_refused(made: Made, tmp_path: Path) -> None:
    takes = f"the model takes {', '.join(made.graph.modalities)}, and no nir"
    refused(denet("embed", made.bundle, "--nir", IMAGE), takes)
    (tmp_path / "NI").mkdir()
    (tmp_path / "NI" / "a.jpg").write_bytes(IMAGE.read_bytes())
    refused(denet("embed", made.bundle, tmp_path), "holds no image of rgb")


@pytest.mark.tensorrt
def test_all_of_its_engines_build(made: Made) -> None:
    built = build_engines(Bundle.open(made.bundle), "fp32", BuildOptions())
    assert list(built.engines) == list(made.graph.engines)
    assert len(built.engines) == {2: 6, 1: 1}[len(made.graph.modalities)]
    assert all(b"trt" in result.engine.read()[:4] for result in built.engines.values())


@pytest.mark.parametrize(
    ("modalities", "told"),
    [
        ("rgb,uv", "unknown modality 'uv': choose from rgb, nir, tir"),
        ("rgb,rgb", "'rgb' is named twice"),
        (",", "none is named"),
    ],
)
def test_modalities_that_no_model_can_have_are_refused(
    modalities: str, told: str, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for command in (["init", out], ["train", data, "--out", out], ["data", data]):
        refused(denet(*command, "--modalities", modalities), f"--modalities: {told}")
    assert not out.exists()
