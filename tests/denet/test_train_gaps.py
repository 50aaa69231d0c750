"""Runs on samples that lack modalities, from the set to what is measured."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from denet.config import ConfigError
from denet.data.records import DataError, DataSet
from denet.evaluate import Split
from denet.examine import examine
from denet.experiments.gaps import SHARES, without_images
from denet.figures import draw_figures
from denet.figures.album import not_drawn
from denet.graph import RGB_NIR_TIR, Graph
from denet.run import LAST, TrainingError
from denet.subject import checkpoint_subject
from denet.train import train
from tests.command import denet, refused, tiny_recipe
from tests.denet.test_train import interrupt_at, same, weights_of
from tests.denet.training import with_train


def with_gaps(data: DataSet, share: float = 0.3, seed: int = 1) -> DataSet:
    return dataclasses.replace(data, train=without_images(data.train, data.graph, share, seed))


@pytest.mark.parametrize("phases", [(2, 0), (1, 1)])
def test_a_resumed_run_has_the_weights_of_an_uninterrupted_one(
    phases: tuple[int, int], small_set: DataSet, tmp_path: Path
) -> None:
    data, told = with_gaps(small_set), []
    recipe = with_train(
        epochs=phases[0], graph_epochs=phases[1], plain=1.0, states=1.0, validation=1
    )
    train(recipe, data, tmp_path / "whole", on_gaps=told.append)
    (line,) = told
    assert "training samples are complete; L_ReID sees" in line
    with pytest.raises(KeyboardInterrupt):
        train(recipe, data, tmp_path / "cut", on_batch=interrupt_at(2, 2))
    train(None, data, tmp_path / "cut", resume=True)
    weights = weights_of(tmp_path / "whole" / LAST)
    assert same(weights, weights_of(tmp_path / "cut" / LAST))
    assert all(bool(w.isfinite().all()) for w in weights.values())
    # The same samples, of which others lack something, are other data.
    with pytest.raises(TrainingError, match="other training data"):
        train(recipe, with_gaps(small_set, seed=2), tmp_path / "cut", resume=True)


def test_workers_make_the_same_batches(small_set: DataSet, tmp_path: Path) -> None:
    for workers in (0, 2):
        recipe = with_train(epochs=1, states=1.0, workers=workers)
        train(recipe, with_gaps(small_set), tmp_path / str(workers))
    assert same(*(weights_of(tmp_path / name / LAST) for name in "02"))


def test_a_set_without_gaps_is_told_nothing_of(small_set: DataSet, tmp_path: Path) -> None:
    told: list[str] = []
    train(with_train(epochs=1), small_set, tmp_path / "run", on_gaps=told.append)
    assert told == []


def test_a_direction_that_nobody_supports_is_named_before_the_first_epoch(
    small_set: DataSet, tmp_path: Path
) -> None:
    rows = tuple(
        record.within(RGB_NIR_TIR.parse(("rgb+nir", "tir")[i % 2]))
        for i, record in enumerate(small_set.train)
    )
    data = dataclasses.replace(small_set, train=rows)
    with pytest.raises(DataError, match="too few training samples have both rgb and tir: 0 of 16"):
        train(with_train(), data, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    # Without a loss on directions there is nothing that it would need.
    recipe = with_train(epochs=1, rho=0.0, mu=0.0, states=1.0)
    best = train(recipe, data, tmp_path / "run")
    assert all(bool(w.isfinite().all()) for w in weights_of(best).values())


@pytest.mark.parametrize("most", ["rgb+nir+tir", "rgb+tir"])
def test_figures_show_complete_samples_or_are_left_out(
    most: str, small_set: DataSet, tmp_path: Path
) -> None:
    subject = checkpoint_subject(train(with_train(epochs=1), small_set, tmp_path / "run"))
    states = [most] * len(small_set.query)
    states[0], states[-1] = "rgb", "nir"
    rows = tuple(
        record.within(RGB_NIR_TIR.parse(state))
        for record, state in zip(small_set.query, states, strict=True)
    )
    found = examine(subject, Split(rows, rows), matrix=True, rates=(0.0, 0.5))
    assert found.own is not None
    assert found.facts()["as_it_is"]["mAP"] == found.rates[0.0].map
    drawings = draw_figures(
        found.split,
        found.embed,
        {"it": found.states},
        found.rates,
        model=subject.model,
        ranges=subject.ranges,
        seed=0,
    )
    told = not_drawn(drawings, subject.model)
    if most == "rgb+tir":
        assert told.startswith("not drawn: ranking, clusters, recovered, activation: no query")
    else:
        assert told == ""


@pytest.fixture(scope="module")
def uneven(small_set: DataSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set on disk, whose samples lack modalities in training and in test."""
    root = tmp_path_factory.mktemp("uneven") / "set"
    shutil.copytree(small_set.root, root)
    for records in (small_set.train, small_set.query):
        left = {r.name: r.images for r in without_images(records, RGB_NIR_TIR, 0.3, 1)}
        for record in records:
            for modality, ref in record.images.items():
                if modality not in left.get(record.name, {}):
                    (root / ref.path.relative_to(small_set.root)).unlink()
    return root


def test_the_command_line_trains_and_measures(uneven: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(
        tiny_recipe(
            epochs=1, graph_epochs=1, identities=2, instances=2, pretrained=False, workers=0
        )
    )
    assert denet("data", uneven).exit_code == 0
    run, page = tmp_path / "run", tmp_path / "report.html"
    trained = denet("train", uneven, "--out", run, "--preset", "small", "--config", recipe)
    assert trained.exit_code == 0, trained.output
    assert trained.output.count("training samples are complete") == 1
    best = run / "best.safetensors"
    shown = denet("eval", best, uneven, "--matrix", "--missing-rate", "0:1:0.5", "--recovery")
    assert shown.exit_code == 0, shown.output
    assert "each as it is" in shown.output
    assert "of the samples that can be in a state" in " ".join(shown.output.split())
    facts = json.loads(denet("eval", best, uneven, "--json").stdout)
    assert facts["as_it_is"]["queries"] >= facts["states"]["rgb+nir+tir"]["queries"]
    reported = denet("report", uneven, best, "--out", page, "--workers", 0)
    assert reported.exit_code == 0, reported.output
    assert "each as it is" in page.read_text()


def test_queries_of_one_sensor_are_searched_in_a_gallery_of_another(
    small_set: DataSet, tmp_path: Path
) -> None:
    best = train(with_train(epochs=1), small_set, tmp_path / "run")
    root, page = tmp_path / "set", tmp_path / "report.html"
    for part, modality, folder in (("query", "rgb", "RGB"), ("gallery", "tir", "TI")):
        (root / part / folder).mkdir(parents=True)
        for record in small_set.query:
            shutil.copy(record.images[modality].path, root / part / folder)
    shown = denet("eval", best, root, "--matrix", "--figures", tmp_path / "figures")
    assert shown.exit_code == 0, shown.output
    words = " ".join(shown.output.split())
    assert "states with nir are left out: 32 of 32 samples have no nir" in words
    assert "not drawn: states, ranking, clusters, recovered, activation" in words
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["rates.png"]
    facts = json.loads(denet("eval", best, root, "--matrix", "--json").stdout)
    assert facts["states"] == {}
    assert list(facts["matrix"]) == ["rgb / tir"]
    assert facts["as_it_is"] == facts["matrix"]["rgb / tir"]
    reported = denet("report", root, best, "--out", page, "--workers", 0)
    assert reported.exit_code == 0, reported.output
    assert "each as it is" in page.read_text()


def test_held_out_identities_that_cannot_be_matched_are_refused(
    small_set: DataSet, tmp_path: Path
) -> None:
    last = max(record.identity for record in small_set.train)
    rows = []
    for record in small_set.train:
        alone = RGB_NIR_TIR.state([("rgb", "tir")[record.camera % 2]])
        rows.append(record.within(alone) if record.identity == last else record)
    data = dataclasses.replace(small_set, train=tuple(rows))
    with pytest.raises(ConfigError, match="validation = 1: no sample of the held-out identities"):
        train(with_train(validation=1), data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_set_whose_samples_share_no_modality_is_one_line(
    small_set: DataSet, tmp_path: Path
) -> None:
    root = tmp_path / "set"
    chosen = {r.identity: r for r in small_set.train}
    for (_, record), modality in zip(sorted(chosen.items()), ("rgb", "nir", "tir"), strict=False):
        ref = record.images[modality]
        made = root / ref.path.relative_to(small_set.root)
        made.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ref.path, made)
    told = "no two of the 3 training samples share a modality"
    refused(denet("train", root, "--out", tmp_path / "run", "--preset", "small"), told)
    assert not (tmp_path / "run").exists()
    checked = denet("data", root)
    assert checked.exit_code == 2
    assert told in " ".join(checked.output.split())


def test_images_are_removed_as_many_and_the_same_again(small_set: DataSet) -> None:
    graph, before = Graph(("rgb", "tir")), None
    for share in SHARES:
        left = without_images(small_set.train, graph, share, 7)
        assert left == without_images(small_set.train, graph, share, 7)
        assert left != without_images(small_set.train, graph, share, 8)
        images = {(r.name, m) for r in left for m in r.images if m in graph.modalities}
        assert len(images) == 32 - round(share * 32)
        assert before is None or images < before
        assert all("nir" in r.images for r in left)  # which the model does not see
        before = images
